import Link from 'next/link';

import { Player } from '@/components/Player';
import { listVideos } from '@/lib/server';
import { fileName, isPlayable, sizeText, type Video } from '@/lib/vidgate';

// The list is asked for with each request: it changes with every upload.
export const dynamic = 'force-dynamic';

interface Props {
  searchParams: Promise<{ video?: string | string[]; after?: string | string[] }>;
}

const one = (value: string | string[] | undefined) => (Array.isArray(value) ? value[0] : value);

export default async function Home({ searchParams }: Props) {
  const query = await searchParams;
  const chosen = one(query.video);
  const after = one(query.after);
  const list = await listVideos(after).catch((error: Error) => error);
  if (list instanceof Error) {
    return (
      <div className="notice" role="alert">
        <h1>The list cannot be loaded</h1>
        <p>{list.message}.</p>
        <p>
          Start vidgate (<code>make run</code> beside this folder), and check{' '}
          <code>VIDGATE_URL</code> in <code>.env.local</code>.
        </p>
      </div>
    );
  }
  const videos = list.videos.filter(isPlayable);
  return (
    <div className="columns">
      <section className="stage" aria-label="Player">
        {chosen ? (
          <Player key={chosen} videoKey={chosen} />
        ) : (
          <p className="soft hint">Choose a video from the list.</p>
        )}
      </section>
      <nav className="list" aria-label="Videos">
        <h2>Videos</h2>
        {videos.length === 0 && (
          <p className="soft">
            There is nothing to play here yet. <Link href="/upload">Upload a video</Link>, or put
            one into the bucket.
          </p>
        )}
        <ul>
          {videos.map((video) => (
            <Entry key={video.key} video={video} after={after} isChosen={video.key === chosen} />
          ))}
        </ul>
        {list.next && (
          <Link href={{ pathname: '/', query: { after: list.next } }}>More videos</Link>
        )}
      </nav>
    </div>
  );
}

function Entry({ video, after, isChosen }: { video: Video; after?: string; isChosen: boolean }) {
  const query = after ? { video: video.key, after } : { video: video.key };
  return (
    <li>
      <Link
        className="entry"
        href={{ pathname: '/', query }}
        aria-current={isChosen ? 'true' : undefined}
        prefetch={false}
      >
        <span className="name">{fileName(video.key)}</span>
        <span className="soft">
          {video.key !== fileName(video.key) &&
            `${video.key.slice(0, -fileName(video.key).length)} · `}
          {sizeText(video.size)}
        </span>
      </Link>
    </li>
  );
}
