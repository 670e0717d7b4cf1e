'use client';

import { useEffect, useRef, useState } from 'react';

import { CHUNK_SIZES, fileName, type Playback } from '@/lib/vidgate';

/** So long before the token ends the player gets a new one, in milliseconds. */
const RENEW_BEFORE_MS = 60_000;

/** How often it is opened anew by itself, where it does not play in between. */
const RETRIES_MAX = 3;

const FAULTS: Record<number, string> = {
  2: 'The connection broke off.',
  3: 'The file is damaged.',
  4: 'The video cannot be opened: it is not there, its token has ended, or this browser does not know its format.',
};

export function Player({ videoKey }: { videoKey: string }) {
  const video = useRef<HTMLVideoElement>(null);
  const [playback, setPlayback] = useState<Playback | null>(null);
  const [chunkSize, setChunkSize] = useState<number>(CHUNK_SIZES[1].bytes);
  const [fault, setFault] = useState('');
  const [attempt, setAttempt] = useState(0);
  /** Whether somebody wants to watch: a browser pauses by itself at an error. */
  const isWanted = useRef(false);
  /** The attempt that played last. */
  const attemptAtPlay = useRef(0);

  // Where the bytes are: asked for at first, after a fault, and again before the token ends.
  useEffect(() => {
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const load = async () => {
      const answer = await fetch(`/api/playback?key=${encodeURIComponent(videoKey)}`, {
        signal: stop.signal,
      });
      if (!answer.ok) {
        const body = (await answer.json().catch(() => null)) as { error?: string } | null;
        throw new Error(body?.error ?? `this site answered with status ${answer.status}`);
      }
      const found = (await answer.json()) as Playback;
      setPlayback(found);
      if (found.expiresAt) {
        const left = new Date(found.expiresAt).getTime() - Date.now() - RENEW_BEFORE_MS;
        timer = setTimeout(run, Math.max(left, 1000));
      }
    };
    const run = () => {
      load().catch((error: Error) => {
        if (!stop.signal.aborted) setFault(`The video cannot be opened: ${error.message}.`);
      });
    };
    run();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [videoKey, attempt]);

  // A new source begins at its start, so the player is taken to where it was.
  useEffect(() => {
    const element = video.current;
    if (!element || !playback) return;
    const { currentTime } = element;
    element.src = playback.isPlaylist ? playback.url : withChunkSize(playback.url, chunkSize);
    if (currentTime > 0) element.currentTime = currentTime;
    if (isWanted.current) element.play().catch(() => undefined);
  }, [playback, chunkSize]);

  const onError = () => {
    const code = video.current?.error?.code ?? 0;
    // A film that was replaced meanwhile, or a way that broke off: opened anew it mostly goes on.
    if (code === MediaError.MEDIA_ERR_NETWORK && attempt - attemptAtPlay.current < RETRIES_MAX) {
      setAttempt(attempt + 1);
    } else {
      setFault(FAULTS[code] ?? '');
    }
  };

  return (
    <>
      {/* crossOrigin lets the browser read subtitles, and scripts the pictures, from vidgate. */}
      <video
        ref={video}
        controls
        crossOrigin="anonymous"
        playsInline
        preload="auto"
        aria-label={fileName(videoKey)}
        onError={onError}
        onLoadedMetadata={() => setFault('')}
        onPlay={() => {
          isWanted.current = true;
        }}
        onPause={(event) => {
          isWanted.current = isWanted.current && event.currentTarget.error !== null;
        }}
        onPlaying={() => {
          attemptAtPlay.current = attempt;
        }}
      >
        {playback?.subtitles.map(({ url, language }) => (
          <track
            key={language}
            kind="subtitles"
            src={url}
            srcLang={language || undefined}
            label={languageName(language)}
          />
        ))}
      </video>
      {fault && (
        <p className="fault" role="alert">
          {fault}{' '}
          <button type="button" onClick={() => setAttempt((count) => count + 1)}>
            Try again
          </button>
        </p>
      )}
      <div className="about">
        <h1 className="name">{fileName(videoKey)}</h1>
        <fieldset disabled={playback?.isPlaylist}>
          <legend>Chunk size</legend>
          {CHUNK_SIZES.map(({ label, bytes }) => (
            <label key={bytes}>
              <input
                type="radio"
                name="chunk-size"
                value={bytes}
                checked={chunkSize === bytes}
                onChange={() => setChunkSize(bytes)}
              />
              {label}
            </label>
          ))}
        </fieldset>
      </div>
      <p className="soft">
        How much vidgate reads from the bucket at once. Another size opens the video anew, at the
        same place.
      </p>
    </>
  );
}

function withChunkSize(address: string, chunkSize: number): string {
  const url = new URL(address);
  url.searchParams.set('chunkSize', String(chunkSize));
  return url.href;
}

function languageName(code: string): string {
  try {
    return (code && new Intl.DisplayNames(undefined, { type: 'language' }).of(code)) || 'Subtitles';
  } catch {
    return code;
  }
}
