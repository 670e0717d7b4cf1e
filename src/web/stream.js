
// The panel that says what the stream is doing. It asks nothing while it is closed.

const PANEL_MS = 1000;

const stream = { requests: 0, len: 0, status: 0, opened: 0, firstFrame: 0, cache: '' };

// What the browser asked for: it tells of a request when that has ended.
new PerformanceObserver(list => {
  for (const { name, initiatorType, transferSize, responseStatus } of list.getEntries()) {
    // What this page fetches by itself are subtitles, and first bytes to see what is wrong.
    if (initiatorType === 'fetch' || !new URL(name, location).pathname.startsWith('/media/')) continue;
    stream.requests++;
    stream.len += transferSize || 0;
    stream.status = responseStatus || stream.status;
  }
}).observe({ type: 'resource', buffered: true });

const cacheText = text => {
  const of = outcome => Number((new RegExp('^vidgate_cache_bytes_total\\{outcome="' + outcome + '"\\} (\\S+)', 'm').exec(text) || [])[1]) || 0;
  const all = of('hit') + of('joined') + of('miss');
  return all ? Math.round(100 * (of('hit') + of('joined')) / all) + ' % of ' + sizeText(all) + ' (all viewers)' : 'not used so far';
};

const stateText = video => {
  if (video.error) return 'failed';
  if (video.ended) return 'ended';
  if (video.readyState < HTMLMediaElement.HAVE_FUTURE_DATA) return 'waiting for data';
  if (video.paused) return 'paused';
  return video.playbackRate === 1 ? 'playing' : 'playing at ' + video.playbackRate + '×';
};

const aheadText = video => {
  for (let i = 0; i < video.buffered.length; i++) {
    if (video.buffered.start(i) <= video.currentTime && video.currentTime <= video.buffered.end(i)) {
      return (video.buffered.end(i) - video.currentTime).toFixed(1) + ' s';
    }
  }
  return 'nothing';
};

const showStream = (video, { etag, size }) => {
  const frames = video.getVideoPlaybackQuality ? video.getVideoPlaybackQuality() : null;
  const rows = {
    State: stateText(video),
    'Loaded ahead': aheadText(video),
    'Finished requests': stream.requests + (stream.status ? ', the last ' + stream.status : ''),
    Received: sizeText(stream.len) + ' of ' + sizeText(size),
    'First picture after': stream.firstFrame ? Math.round(stream.firstFrame) + ' ms' : '',
    'Pictures shown': frames ? frames.totalVideoFrames - frames.droppedVideoFrames + ', ' + frames.droppedVideoFrames + ' dropped' : '',
    "From the server's cache": stream.cache,
    Version: etag,
  };
  $('stream-facts').replaceChildren(...Object.entries(rows).filter(([, value]) => value).map(([name, value]) => make('div', '', make('dt', '', name), make('dd', '', String(value)))));
};

// Shows it for as long as the panel is open. `film` answers the entry of the film.
const watchStream = (video, film) => {
  const panel = $('stream');
  let timer = 0;
  const turn = async () => {
    clearTimeout(timer);
    if (!panel.open) return;
    if (!document.hidden) {
      stream.cache = await fetch('/metrics', { cache: 'no-store' }).then(answer => answer.ok ? answer.text() : '').then(cacheText, () => 'unknown');
      if (film()) showStream(video, film());
    }
    clearTimeout(timer);
    timer = setTimeout(turn, PANEL_MS);
  };
  panel.addEventListener('toggle', turn);
  video.addEventListener('loadstart', () => {
    stream.opened = performance.now();
    if (!video.requestVideoFrameCallback) return;
    video.requestVideoFrameCallback(now => { stream.firstFrame = stream.firstFrame || now - stream.opened; });
  });
};
