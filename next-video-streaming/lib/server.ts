// How this site talks to vidgate by itself. The keys of playback tokens stay here.
import 'server-only';

import { SignJWT } from 'jose';

import { keyPath, type Playback, type VideoPage } from '@/lib/vidgate';

/** How long a token for one video is good. The player gets a new one before it ends. */
const PLAYBACK_SECONDS = 15 * 60;
/** How long the token is good by which this site itself asks for the list. */
const LIST_SECONDS = 60;

/** vidgate as browsers reach it. */
export const publicUrl = () => (process.env.VIDGATE_URL ?? 'http://localhost:3001').replace(/\/+$/, '');

/** vidgate as this site reaches it. */
const internalUrl = () => process.env.VIDGATE_INTERNAL_URL?.replace(/\/+$/, '') || publicUrl();

/** The key that signs, as vidgate's own setting has it: `kid:secret`, the first of a comma list; null where vidgate is open. */
function signingKey(): { kid: string; secret: Uint8Array } | null {
  const first = process.env.VIDGATE_PLAYBACK_KEYS?.split(',')[0]?.trim();
  if (!first) return null;
  const colon = first.indexOf(':');
  if (colon < 1) throw new Error('VIDGATE_PLAYBACK_KEYS must be kid:secret,kid:secret');
  return { kid: first.slice(0, colon), secret: new TextEncoder().encode(first.slice(colon + 1)) };
}

/** A playback token: HS256, with the key's name in its header, for one key or for all that starts with a prefix. */
async function mint(scope: { key: string } | { prefix: string }, expiresAt: number) {
  const key = signingKey();
  if (!key) return null;
  return new SignJWT({ ...scope })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT', kid: key.kid })
    .setExpirationTime(expiresAt)
    .sign(key.secret);
}

const inSeconds = (seconds: number) => Math.floor(Date.now() / 1000) + seconds;

/** Where a browser gets the bytes of a video from; with a token for this video alone, where vidgate needs one. */
export async function playback(key: string): Promise<Playback> {
  const expiresAt = inSeconds(PLAYBACK_SECONDS);
  const url = new URL(`${publicUrl()}/api/videos/${keyPath(key)}/stream`);
  const token = await mint({ key }, expiresAt);
  if (!token) return { url: url.href, expiresAt: null };
  url.searchParams.set('token', token);
  return { url: url.href, expiresAt: new Date(expiresAt * 1000).toISOString() };
}

/**
 * One page of the list.
 *
 * @throws Error with what vidgate says where it does not answer the list.
 */
export async function listVideos(after: string | undefined): Promise<VideoPage> {
  const url = new URL(`${internalUrl()}/api/videos?limit=100`);
  if (after) url.searchParams.set('after', after);
  const token = await mint({ prefix: '' }, inSeconds(LIST_SECONDS));
  const headers = token ? { Authorization: `Bearer ${token}` } : undefined;
  const answer = await fetch(url, { headers, cache: 'no-store' }).catch((error: unknown) => {
    throw new Error(`vidgate cannot be reached at ${internalUrl()}`, { cause: error });
  });
  if (!answer.ok) {
    const body = (await answer.json().catch(() => null)) as { error?: { message?: string } } | null;
    throw new Error(body?.error?.message ?? `vidgate answered with status ${answer.status}`);
  }
  return (await answer.json()) as VideoPage;
}
