import { NextResponse, type NextRequest } from 'next/server';

import { playback, Refused } from '@/lib/server';

/** The longest key that vidgate takes, in bytes. */
const KEY_LENGTH_MAX = 1024;

/**
 * `GET /api/playback?key=KEY`: where the browser gets this video from.
 *
 * Who may watch what is for your site to decide: look at the visitor's session here, before a token is minted. The token opens this
 * one video for a quarter of an hour.
 */
export async function GET(request: NextRequest) {
  const key = request.nextUrl.searchParams.get('key') ?? '';
  const length = Buffer.byteLength(key);
  if (length === 0 || length > KEY_LENGTH_MAX) {
    return NextResponse.json({ error: 'key must have 1 to 1024 bytes' }, { status: 400 });
  }
  try {
    return NextResponse.json(await playback(key), { headers: { 'Cache-Control': 'no-store' } });
  } catch (error) {
    if (error instanceof Refused && error.status === 404) {
      return NextResponse.json({ error: 'there is no such video' }, { status: 404 });
    }
    console.error(error);
    return NextResponse.json({ error: 'vidgate does not answer as it should' }, { status: 502 });
  }
}
