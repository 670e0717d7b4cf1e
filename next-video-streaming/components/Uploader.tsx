'use client';

import Link from 'next/link';
import { useEffect, useRef, useState, type FormEvent } from 'react';
import * as tus from 'tus-js-client';

import { sizeText } from '@/lib/vidgate';

/** What is sent in one request, in bytes: so much at most is sent again after a connection broke off. */
const PIECE_LENGTH = 8 * 1024 * 1024;
/** When a request that failed is tried again, in milliseconds. */
const RETRY_DELAYS = [0, 1000, 3000, 5000, 10_000];

type State =
  | { step: 'idle' }
  | { step: 'sending' | 'paused'; sent: number; size: number }
  | { step: 'done'; key: string }
  | { step: 'failed'; message: string };

export function Uploader({ endpoint }: { endpoint: string }) {
  const upload = useRef<tus.Upload | null>(null);
  const [state, setState] = useState<State>({ step: 'idle' });

  // Whoever leaves the page stops the upload; the same file goes on where it was.
  useEffect(() => () => void upload.current?.abort(), []);

  const start = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const file = form.get('file');
    if (!(file instanceof File) || file.size === 0) {
      setState({ step: 'failed', message: 'Choose a file that is not empty.' });
      return;
    }
    const key = String(form.get('folder') ?? '').replace(/^\/+|\/+$/g, '');
    const name = key ? `${key}/${file.name}` : file.name;
    const next = new tus.Upload(file, {
      endpoint,
      chunkSize: PIECE_LENGTH,
      retryDelays: RETRY_DELAYS,
      headers: { Authorization: `Bearer ${String(form.get('token') ?? '')}` },
      metadata: { key: name, filename: file.name, filetype: file.type },
      removeFingerprintOnSuccess: true,
      onProgress: (sent, size) => setState({ step: 'sending', sent, size: size ?? file.size }),
      onSuccess: () => setState({ step: 'done', key: name }),
      onError: (error) => setState({ step: 'failed', message: explain(error) }),
    });
    upload.current = next;
    setState({ step: 'sending', sent: 0, size: file.size });
    const [previous] = await next.findPreviousUploads();
    if (previous) next.resumeFromPreviousUpload(previous);
    next.start();
  };

  const pause = () => {
    void upload.current?.abort();
    setState((now) => (now.step === 'sending' ? { ...now, step: 'paused' } : now));
  };
  const goOn = () => {
    upload.current?.start();
    setState((now) => (now.step === 'paused' ? { ...now, step: 'sending' } : now));
  };

  const isBusy = state.step === 'sending' || state.step === 'paused';
  return (
    <div className="narrow">
      <h1>Upload a video</h1>
      <p className="soft">
        The file goes straight from this browser to vidgate, in pieces. Where the connection breaks
        off, it goes on by itself; choose the same file again after closing the page, and it goes on
        too.
      </p>
      <form className="card" onSubmit={(event) => void start(event)}>
        <label>
          Video
          <input type="file" name="file" accept="video/*,audio/*" required disabled={isBusy} />
        </label>
        <label>
          Folder <span className="soft">(may be empty)</span>
          <input name="folder" placeholder="films/2026" autoComplete="off" disabled={isBusy} />
        </label>
        <label>
          Admin token of vidgate
          <input type="password" name="token" required autoComplete="off" disabled={isBusy} />
        </label>
        {!isBusy && (
          <button type="submit" className="main">
            Upload
          </button>
        )}
        {state.step === 'sending' && (
          <button type="button" onClick={pause}>
            Pause
          </button>
        )}
        {state.step === 'paused' && (
          <button type="button" className="main" onClick={goOn}>
            Go on
          </button>
        )}
      </form>
      {(state.step === 'sending' || state.step === 'paused') && (
        <div className="card">
          <progress aria-label="Uploaded" value={state.sent} max={state.size} />
          <p>
            {state.step === 'paused' && 'Paused at '}
            {sizeText(state.sent)} of {sizeText(state.size)} ({percent(state.sent, state.size)} %)
          </p>
        </div>
      )}
      <div role="status">
        {state.step === 'done' && (
          <p className="card">
            Uploaded.{' '}
            <Link href={{ pathname: '/', query: { video: state.key } }}>Watch {state.key}</Link>
          </p>
        )}
      </div>
      {state.step === 'failed' && (
        <p className="fault" role="alert">
          {state.message}
        </p>
      )}
    </div>
  );
}

const percent = (sent: number, size: number) => Math.floor((100 * sent) / Math.max(size, 1));

/** What a person can do about it. */
function explain(error: Error): string {
  const status =
    error instanceof tus.DetailedError ? error.originalResponse?.getStatus() : undefined;
  if (status === 401 || status === 403) return 'vidgate does not take this admin token.';
  if (status === 404) return 'vidgate takes no uploads: set VIDGATE_ADMIN_TOKEN there.';
  if (status === 413) return 'The file is larger than vidgate takes (VIDGATE_MAX_UPLOAD).';
  if (status === undefined)
    return 'vidgate cannot be reached. Start it, and upload the same file again.';
  return `The upload failed with status ${status}. Upload the same file again to go on.`;
}
