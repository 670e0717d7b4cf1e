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
  /** Whether it is a playlist of HLS, which has no chunk size. */
  isPlaylist: boolean;
  /** What lies beside it as WebVTT. */
  subtitles: Subtitles[];
  /** RFC 3339; null where it does not end. */
  expiresAt: string | null;
}

/** `film.en.vtt` beside `film.mp4`. */
export interface Subtitles {
  url: string;
  /** What stands between the name of the film and the ending. */
  language: string;
}

/** How much vidgate reads from the bucket at once, in bytes. */
export const CHUNK_SIZES = [
  { label: '512 KiB', bytes: 512 * 1024 },
  { label: '1 MiB', bytes: 1024 * 1024 },
  { label: '2 MiB', bytes: 2 * 1024 * 1024 },
] as const;

/**
 * A key as a path: each segment is encoded. A last segment `stream`, `url` or `cookies` would be taken for the verb, and a first one
 * that starts with `~` for a token. Routes are matched before decoding, so its first letter is written as an escape.
 */
export function keyPath(key: string): string {
  const segments = key.split('/').map(encodeURIComponent);
  const isVerb = (segment: string) => ['stream', 'url', 'cookies'].includes(segment);
  return segments
    .map((segment, index) =>
      (index === segments.length - 1 && isVerb(segment)) || (index === 0 && segment.startsWith('~'))
        ? `%${segment.charCodeAt(0).toString(16)}${segment.slice(1)}`
        : segment,
    )
    .join('/');
}

export const isPlaylist = (video: Video) => /mpegurl\b/i.test(video.contentType);

export const isPlayable = (video: Video) =>
  isPlaylist(video) ||
  (/^(video|audio)\//.test(video.contentType) &&
    !/^video\/(mp2t|iso\.segment)/.test(video.contentType));

export const fileName = (key: string) => key.slice(key.lastIndexOf('/') + 1);

export function sizeText(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  let unit = 0;
  let value = bytes;
  for (; value >= 999.5 && unit < units.length - 1; unit += 1) value /= 1000;
  return `${unit > 0 && value < 99.95 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}
