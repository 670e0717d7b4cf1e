// What vidgate answers, and how its addresses are written. For the server and the browser alike.

export interface Video {
  key: string;
  size: number;
  contentType: string;
  lastModified: string;
  etag: string;
}

export interface VideoPage {
  videos: Video[];
  /** The `after` of the next page; null on the last one. */
  next: string | null;
}

/** Where the bytes of a video are, and until when. */
export interface Playback {
  url: string;
  /** RFC 3339; null where it does not end. */
  expiresAt: string | null;
}

/** How much vidgate reads from the bucket at once, in bytes. */
export const CHUNK_SIZES = [
  { label: '512 KiB', bytes: 512 * 1024 },
  { label: '1 MiB', bytes: 1024 * 1024 },
  { label: '2 MiB', bytes: 2 * 1024 * 1024 },
] as const;

/**
 * A key as a path: each segment is encoded. A last segment `stream`, `url` or `cookies` would be taken for the verb, and routes are
 * matched before decoding, so its first letter is written as an escape.
 */
export function keyPath(key: string): string {
  const segments = key.split('/').map(encodeURIComponent);
  const last = segments.length - 1;
  const verb = segments[last] ?? '';
  if (['stream', 'url', 'cookies'].includes(verb)) {
    segments[last] = `%${verb.charCodeAt(0).toString(16)}${verb.slice(1)}`;
  }
  return segments.join('/');
}

export const isPlayable = (video: Video) =>
  /^(video|audio)\//.test(video.contentType) &&
  !/^video\/(mp2t|iso\.segment)/.test(video.contentType);

export const fileName = (key: string) => key.slice(key.lastIndexOf('/') + 1);

export function sizeText(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  let unit = 0;
  let value = bytes;
  for (; value >= 999.5 && unit < units.length - 1; unit += 1) value /= 1000;
  return `${unit > 0 && value < 99.95 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}
