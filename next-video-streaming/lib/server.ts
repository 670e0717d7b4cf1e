// How this site talks to vidgate by itself. The keys of playback tokens stay here.
import 'server-only';

import { SignJWT } from 'jose';

import {
  isPlaylist,
  keyPath,
  type Playback,
  type Subtitles,
  type Video,
  type VideoPage,
} from '@/lib/vidgate';

/** How long a token for one video is good. The player gets a new one before it ends. */
const PLAYBACK_SECONDS = 15 * 60;
/** How long a token is good by which this site itself asks. */
const ASKING_SECONDS = 60;

/** vidgate as browsers reach it. */
export const publicUrl = () =>
  (process.env.VIDGATE_URL ?? 'http://localhost:3001').replace(/\/+$/, '');

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

/** vidgate answered, and not with what it was asked for. */
export class Refused extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

/**
 * Asks vidgate for JSON, with a token for what it is about.
 *
 * @throws Refused with what vidgate says where it answers anything else, Error where it does not answer.
 */
async function ask<T>(path: string, scope: { key: string } | { prefix: string }): Promise<T> {
  const token = await mint(scope, inSeconds(ASKING_SECONDS));
  const headers = token ? { Authorization: `Bearer ${token}` } : undefined;
  const answer = await fetch(internalUrl() + path, { headers, cache: 'no-store' }).catch(
    (error: unknown) => {
      throw new Error(`vidgate cannot be reached at ${internalUrl()}`, { cause: error });
    },
  );
  if (!answer.ok) {
    const body = (await answer.json().catch(() => null)) as { error?: { message?: string } } | null;
    const told = body?.error?.message ?? `vidgate answered with status ${answer.status}`;
    throw new Refused(told, answer.status);
  }
  return (await answer.json()) as T;
}

/**
 * Where a browser gets a video from, with tokens for this video alone, where vidgate needs them.
 *
 * A film is addressed by the version that is there now: where it is replaced, that address is refused, so that no player mixes two of
 * them, and the player asks for another. A playlist may change, and the files that it names are found beside it; they inherit a token
 * that stands in its path.
 *
 * @throws as `ask`.
 */
export async function playback(key: string): Promise<Playback> {
  const video = await ask<Video>(`/api/videos/${keyPath(key)}`, { key });
  const expiresAt = inSeconds(PLAYBACK_SECONDS);
  const folder = key.slice(0, key.lastIndexOf('/') + 1);
  const url = isPlaylist(video)
    ? mediaUrl(key, await mint(folder ? { prefix: folder } : { key }, expiresAt))
    : streamUrl(video, await mint({ key }, expiresAt));
  return {
    url: url.href,
    isPlaylist: isPlaylist(video),
    subtitles: await subtitles(key, expiresAt),
    expiresAt: signingKey() ? new Date(expiresAt * 1000).toISOString() : null,
  };
}

function streamUrl({ key, etag }: Video, token: string | null): URL {
  const url = new URL(`${publicUrl()}/api/videos/${keyPath(key)}/stream`);
  url.searchParams.set('etag', etag);
  if (token) url.searchParams.set('token', token);
  return url;
}

const mediaUrl = (key: string, token: string | null) =>
  new URL(`${publicUrl()}/media/${token ? `~${token}/` : ''}${keyPath(key)}`);

/** The WebVTT files beside a video: `film.mp4` and `film.en.vtt`. */
async function subtitles(key: string, expiresAt: number): Promise<Subtitles[]> {
  const stem = key.replace(/\.[^./]+$/, '');
  const query = new URLSearchParams({ limit: '100', prefix: `${stem}.` });
  const { videos } = await ask<VideoPage>(`/api/videos?${query}`, { prefix: `${stem}.` });
  const beside = videos.filter((it) => /^\.[^/]*vtt$/i.test(it.key.slice(stem.length)));
  return Promise.all(
    beside.map(async (it) => ({
      url: mediaUrl(it.key, await mint({ key: it.key }, expiresAt)).href,
      language: it.key.slice(stem.length + 1, -'.vtt'.length),
    })),
  );
}

/**
 * One page of the list.
 *
 * @throws as `ask`.
 */
export function listVideos(after: string | undefined): Promise<VideoPage> {
  const query = new URLSearchParams(after ? { limit: '100', after } : { limit: '100' });
  return ask<VideoPage>(`/api/videos?${query}`, { prefix: '' });
}
