
// The player page: one video, named by the path of this page.

const STEP_S = 5;
const SPEEDS = [0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2];
const TOKEN_LIFE_S = 3600; // of the tokens that the admin token buys
const TOKEN_RENEWED_S = 300; // so long before its end one is replaced
const RETRY_MS = [0, 500, 1000, 2000, 4000, 8000]; // by itself, after a broken connection; a person may go on
const RESUME_S = 3; // nearer to its start or its end than this, a film begins anew
const REMEMBER_MS = 4000;
const LIST_TYPE = 'application/vnd.apple.mpegurl';

const video = $('video');
let key = '';
let entry = null;
let source = ''; // where the bytes lie; not always what the video element has
let hls = null;
let retries = 0;
let faultAt = 0; // seconds, where it was lost last
let remembered = 0; // when the place was
let wanted = false; // somebody wants to watch: a browser pauses by itself at an error
let tokenEnds = Infinity; // when the token that was bought must be replaced; by our own clock, whatever that of the server says

const keyOfPage = () => {
  try {
    return location.pathname.slice('/watch/'.length).split('/').map(decodeURIComponent).join('/');
  } catch {
    return '';
  }
};

const mediaPath = (key, token) => '/media/' + (token ? '~' + token + '/' : '') + keyPath(key);

// The token for bytes: a playback token is used as it is, the admin token buys one for as much as is needed and is used for nothing
// else. A server that is open sells none, and needs none.
const tokenFor = async scope => {
  const token = secret.get();
  if (!token || isPlaybackToken(token)) return token;
  const bought = await ask('/api/tokens', {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ ...scope, expiresIn: TOKEN_LIFE_S }),
  }).catch(error => {
    if (error.code === 'not_configured') return { token: '' };
    throw error;
  });
  return bought.token;
};

// Where the bytes lie. A token goes into the path, because <video> sends no header, and what a playlist names inherits it there: for
// one, it opens the folder.
const mediaUrl = async () => {
  const token = await tokenFor(isList() && folder(key) ? { prefix: folder(key) + '/' } : { key });
  if (token && token !== secret.get()) tokenEnds = Date.now() + (TOKEN_LIFE_S - TOKEN_RENEWED_S) * 1000;
  return mediaPath(key, token);
};

// What the video element gets: this version and no other. Where it was replaced, a browser would take the bytes of the new version for
// those of the old, or wait for ever; so it is told no, and the page opens the new one. A playlist may change: it is of no version.
const versionOf = url => isList() ? url : url + '?etag=' + encodeURIComponent(entry.etag);

const isList = () => /mpegurl$/.test(typeOf(entry));

const facts = () => {
  if (!entry) return;
  const parts = [sizeText(entry.size), typeOf(entry), dateText(entry.lastModified)];
  if (isFinite(video.duration)) parts.unshift(clock(video.duration));
  if (video.videoWidth) parts.push(video.videoWidth + '\u00a0×\u00a0' + video.videoHeight);
  $('facts').textContent = parts.filter(Boolean).join(' · ');
  $('facts').hidden = false;
};

// Says something that needs no answer, in the line below the picture.
const tell = (text, ...more) => $('told').replaceChildren(...text ? [make('span', 'soft', text), ...more] : []);

const playing = is => {
  for (const id of ['stage', 'keys', 'player', 'stream']) $(id).hidden = !is;
};

const stop = () => {
  playing(false);
  tell('');
  if (hls) hls.destroy();
  hls = null;
  video.removeAttribute('src');
  video.load();
};

const back = () => {
  const link = make('a', 'button', 'All videos');
  link.href = '/';
  return link;
};

const failed = error => {
  stop();
  $('tools').hidden = true;
  if (error.status === 401 || error.status === 403) return askForToken(error, () => open());
  if (error.status === 404 || error.status === 400) {
    return notice(true, 'There is no such video', [
      'It may have been moved, renamed or deleted. Look for it in the library, or ask whoever sent you the link.',
      make('span', 'soft', 'The server says: ' + sentence(error.message)),
    ], back());
  }
  return notice(true, 'The video cannot be opened', [sentence(error.message), advice(error)], again(), back());
};

const describe = () => {
  $('name').textContent = fileName(key) || 'vidgate';
  const link = make('a', '', folder(key) + '/');
  link.href = '/?in=' + encodeURIComponent(folder(key) + '/');
  $('folder').replaceChildren(link);
  $('folder').hidden = !folder(key);
  document.title = (fileName(key) || 'Video') + ' – vidgate';
};

// --- Opening it ----------------------------------------------------------------------------------------------------------

const resumeAt = () => {
  const [at, length] = memory.all()[key] || [];
  return at > RESUME_S && at < length - RESUME_S ? at : 0;
};

// Gives the video its source. A place that is set now is where the browser begins to read.
const start = (url, at) => {
  playing(true);
  $('stage').classList.toggle('sound', /^audio\/(?!.*mpegurl)/.test(typeOf(entry)));
  source = url;
  video.src = url;
  if (at) video.currentTime = at;
};

// hls.js, where whoever runs this server has put it; its address and its digest are in the page.
const hlsScript = () => new Promise(resolve => {
  const named = document.querySelector('meta[name=hls]');
  if (window.Hls || !named) return resolve(Boolean(window.Hls));
  const script = make('script');
  script.integrity = named.content;
  script.onload = () => resolve(Boolean(window.Hls && Hls.isSupported()));
  script.onerror = () => resolve(false);
  script.src = '/hls.js?' + encodeURIComponent(named.content);
  return document.head.append(script);
});

// HLS in a browser that knows it not.
const startHls = async (url, at) => {
  if (!await hlsScript()) {
    stop();
    return notice(false, 'This browser does not play HLS by itself', [
      'Safari and new versions of Chrome do.',
      make('span', '', 'Whoever runs this server can put hls.js on it: ', make('code', '', 'VIDGATE_HLS_JS'), ' names the file.'),
    ], back());
  }
  playing(true);
  source = url;
  if (hls) hls.destroy();
  // A worker would be a script from a blob, which the page's policy does not allow.
  hls = new Hls({ enableWorker: false, startPosition: at || -1 });
  hls.on(Hls.Events.ERROR, (_, { fatal, type }) => {
    if (fatal) lost(type === Hls.ErrorTypes.NETWORK_ERROR ? MediaError.MEDIA_ERR_NETWORK : MediaError.MEDIA_ERR_DECODE);
  });
  hls.loadSource(url);
  return hls.attachMedia(video);
};

// Opens the video: at `at` seconds if it was open before, else where one left off.
const open = async (at = null) => {
  const from = at === null ? resumeAt() : at;
  $('notice').hidden = true;
  try {
    if (!key) throw Object.assign(new Error('this address names no video'), { status: 400 });
    entry = await ask('/api/videos/' + keyPath(key));
    const url = await mediaUrl();
    facts();
    $('download').href = url + '?download=' + encodeURIComponent(fileName(key));
    $('tools').hidden = false;
    if (!playable(typeOf(entry))) {
      stop();
      notice(false, 'This file is not a video or a sound', ['Its type is ' + (typeOf(entry) || 'unknown') + '. It can be downloaded.'], back());
    } else if (isList() && !video.canPlayType(LIST_TYPE)) await startHls(url, from);
    else start(versionOf(url), from);
    if (at === null && from) {
      tell('Resumed at ' + clock(from) + '.', button('Start over', () => { video.currentTime = 0; tell(''); video.focus(); }, ''));
    }
  } catch (error) {
    if (at !== null && isTemporary(error) && retries < RETRY_MS.length) return lost(MediaError.MEDIA_ERR_NETWORK);
    failed(error);
  }
};

// Opens the video anew at `at` seconds, and plays on if it was played.
const goOn = async at => {
  const play = wanted;
  await open(at);
  if (play) video.play().catch(() => {});
};

// --- When it breaks off --------------------------------------------------------------------------------------------------

const isTemporary = error => [0, 429, 502, 503, 504].includes(error.status);
const again = () => button('Try again', () => { retries = 0; open(faultAt || null); }, '');
const wait = ms => new Promise(resolve => setTimeout(resolve, ms));

// A media error tells little: ask the server for the first byte to see whether it is the file, the way or the browser. Answers what
// is wrong, or nothing, and the version that is there.
const probe = async () => {
  try {
    const answer = await fetch(source, { headers: { Range: 'bytes=0-0' }, cache: 'no-store' });
    if (answer.ok) {
      if (answer.body) await answer.body.cancel();
      return { etag: answer.headers.get('ETag') };
    }
    const { error } = await answer.json().catch(() => ({})) || {};
    const message = error && error.message || 'the server answered with status ' + answer.status;
    return { refused: Object.assign(new Error(message), { status: answer.status, code: error && error.code }) };
  } catch {
    return { refused: Object.assign(new Error('The server cannot be reached.'), { status: 0, code: 'unreachable' }) };
  }
};

// Goes on by itself where the way was at fault, or the film was replaced; else says what can be done.
const lost = async code => {
  const at = faultAt = video.currentTime || faultAt;
  const isOpened = video.readyState > 0 || at > 0;
  const { refused, etag } = await probe();
  const isReplaced = Boolean(refused ? refused.status === 412 : etag && etag !== entry.etag);
  const isWay = code === MediaError.MEDIA_ERR_NETWORK || isReplaced || refused && isTemporary(refused) && isOpened;
  if (isWay && retries < RETRY_MS.length) {
    tell(isReplaced ? 'The video was replaced on the server. This is the new one.' : 'The connection broke off. Trying again…');
    await wait(RETRY_MS[retries++]);
    return goOn(at);
  }
  if (refused) return failed(refused);
  stop();
  if (code === MediaError.MEDIA_ERR_NETWORK) {
    return notice(true, 'The connection broke off', ['The video stopped at ' + clock(at) + '.'], again(), back());
  }
  return notice(true, 'Your browser cannot play this file', [
    'The server sends it, but this browser does not know its format, or the file is damaged. Try another browser, or download it.',
    make('span', '', 'Whoever runs this server: MP4 with H.264 and AAC, its index at the front (ffmpeg: ', make('code', '', '-movflags +faststart'), '), plays everywhere.'),
  ], again(), back());
};

const mediaFailed = () => {
  if (video.error && !hls && video.hasAttribute('src')) lost(video.error.code);
};

// Goes on with a new token before the present one ends: a film that was paused overnight resumes where it was.
const renew = async () => {
  if (Date.now() < tokenEnds) return;
  tokenEnds = Infinity;
  await goOn(video.currentTime);
};

const remember = () => {
  remembered = Date.now();
  if (isFinite(video.duration) && video.readyState) memory.put(key, video.ended ? 0 : video.currentTime, video.duration);
};

// --- What one can do with it ---------------------------------------------------------------------------------------------

const toggleFull = () => {
  if (document.fullscreenElement) document.exitFullscreen();
  else if (video.requestFullscreen) video.requestFullscreen().catch(() => {});
  else if (video.webkitEnterFullscreen) video.webkitEnterFullscreen();
};

const toggleFloat = () => {
  const done = document.pictureInPictureElement ? document.exitPictureInPicture() : video.requestPictureInPicture();
  done.catch(error => tell('Picture in picture is not possible: ' + sentence(error.message)));
};

const step = seconds => {
  const end = isFinite(video.duration) ? video.duration : Infinity;
  video.currentTime = Math.min(end, Math.max(0, video.currentTime + seconds));
};

// A source that is opened anew begins at the default speed.
const setSpeed = speed => { video.defaultPlaybackRate = video.playbackRate = speed; };

const stepSpeed = by => {
  const at = SPEEDS.findIndex(speed => speed >= video.playbackRate);
  setSpeed(SPEEDS[Math.min(SPEEDS.length - 1, Math.max(0, at + by))]);
};

const option = (value, label) => Object.assign(make('option', '', label), { value });

const showSubtitles = index => {
  [...video.textTracks].forEach((track, at) => { track.mode = String(at) === index ? 'showing' : 'disabled'; });
};

// The list goes by what is shown: the video's own menu changes that too.
const listSubtitles = () => {
  const tracks = [...video.textTracks];
  $('subtitles-box').hidden = !tracks.length;
  $('subtitles').replaceChildren(option('', 'Off'), ...tracks.map((track, at) => option(String(at), track.label || track.language || 'Subtitles')));
  const shown = tracks.findIndex(track => track.mode === 'showing');
  $('subtitles').value = shown < 0 ? '' : String(shown);
};

let subtitlesLast = '0';
const toggleSubtitles = () => {
  const shown = $('subtitles').value;
  if (shown) subtitlesLast = shown;
  if (video.textTracks.length) showSubtitles(shown ? '' : subtitlesLast);
};

const KINDS = {
  'cloudfront-signed': 'A signed link to CloudFront', cloudfront: 'A link to CloudFront', presigned: 'A signed link to the bucket', direct: 'A link to this server',
};

const toggleLink = async () => {
  const box = $('shared');
  box.hidden = !box.hidden;
  $('link').setAttribute('aria-expanded', String(!box.hidden));
  if (box.hidden) return;
  $('url').value = '';
  $('until').textContent = 'Asking for a link…';
  try {
    const { url, kind, expiresAt } = await ask('/api/videos/' + keyPath(key) + '/url');
    const until = expiresAt && new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(expiresAt));
    $('url').value = new URL(url, location.origin);
    $('until').textContent = (KINDS[kind] || 'A link') + (until ? ', good until ' + until + '. Whoever has it can watch until then.' : '.');
    $('url').select();
  } catch (error) {
    $('until').textContent = sentence(error.message) + ' ' + advice(error);
  }
};

const copyLink = async () => {
  $('url').select();
  try {
    await navigator.clipboard.writeText($('url').value);
    $('until').textContent = 'Copied.';
  } catch { // only pages over TLS, or of this machine, may
    $('until').textContent = 'The link is selected: copy it with Ctrl+C.';
  }
};

const KEYS = {
  ' ': () => video.paused ? video.play().catch(() => {}) : video.pause(),
  ArrowLeft: () => step(-STEP_S),
  ArrowRight: () => step(STEP_S),
  f: toggleFull,
  m: () => { video.muted = !video.muted; },
  c: toggleSubtitles,
  p: () => $('float').hidden || toggleFloat(),
  '<': () => stepSpeed(-1),
  '>': () => stepSpeed(1),
};

document.addEventListener('keydown', event => {
  const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action || event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey || $('stage').hidden) return;
  // A control has its own use for keys: a field for all of them, a button for space; the video's own controls know space and arrows.
  if (event.target.closest('input, select') || event.key === ' ' && event.target.closest('a, button, summary')) return;
  if (event.target === video && (event.key.length !== 1 || event.key === ' ')) return;
  event.preventDefault();
  action();
});
video.addEventListener('error', mediaFailed);
video.addEventListener('play', () => { wanted = true; });
video.addEventListener('pause', () => { wanted = wanted && Boolean(video.error); });
for (const moment of ['play', 'seeking', 'timeupdate']) video.addEventListener(moment, renew);
for (const moment of ['pause', 'ended']) video.addEventListener(moment, remember);
addEventListener('pagehide', remember);
video.addEventListener('timeupdate', () => {
  if (retries && video.currentTime > faultAt + 1) {
    retries = 0;
    tell('');
  }
  if (!video.paused && Date.now() > remembered + REMEMBER_MS) remember();
});
let isFirst = true;
video.addEventListener('loadedmetadata', () => {
  facts();
  if (video.videoWidth) video.style.aspectRatio = video.videoWidth + ' / ' + video.videoHeight;
  if (!isFirst) return;
  isFirst = false;
  remember();
  addSubtitles(video, key, async (name, prefix) => mediaPath(name, await tokenFor({ prefix }))).catch(() => {});
});
video.addEventListener('ratechange', () => {
  if (!SPEEDS.includes(video.playbackRate)) return;
  $('speed').value = String(video.playbackRate);
});
for (const moment of ['addtrack', 'removetrack', 'change']) video.textTracks.addEventListener(moment, listSubtitles);
$('speed').append(...SPEEDS.map(speed => option(String(speed), speed + '×')));
$('speed').value = '1';
$('speed').addEventListener('change', () => setSpeed(Number($('speed').value)));
$('subtitles').addEventListener('change', () => showSubtitles($('subtitles').value));
$('float').hidden = !document.pictureInPictureEnabled;
$('float').addEventListener('click', toggleFloat);
$('link').addEventListener('click', toggleLink);
$('copy').addEventListener('click', copyLink);

key = keyOfPage();
describe();
watchStream(video, () => entry);
open();
