
// The player page: one video, named by the path of this page.

const STEP_S = 5;
const TOKEN_LIFE_S = 3600; // of the tokens that the admin token buys
const TOKEN_RENEWED_S = 300; // so long before its end one is replaced
const TIMES_RETRIED_MAX = 3; // by itself, after a broken connection; a person may go on

const video = $('video');
let key = '';
let entry = null;
let retries = 0;
let wanted = false; // somebody wants to watch: a browser pauses by itself at an error
let tokenEnds = Infinity; // when the token that was bought must be replaced; by our own clock, whatever that of the server says

const keyOfPage = () => {
  try {
    return location.pathname.slice('/watch/'.length).split('/').map(decodeURIComponent).join('/');
  } catch {
    return '';
  }
};

// Where the bytes lie. A token goes into the path, because <video> sends no header; the admin token buys one for this film
// (for its folder, if it is a playlist). It is used for nothing else.
const mediaUrl = async () => {
  let token = secret.get();
  if (token && !isPlaybackToken(token)) {
    const list = /mpegurl$/.test(typeOf(entry)) && folder(key);
    const scope = list ? { prefix: folder(key) + '/' } : { key };
    const minted = await ask('/api/tokens', {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ ...scope, expiresIn: TOKEN_LIFE_S }),
    });
    token = minted.token;
    tokenEnds = Date.now() + (TOKEN_LIFE_S - TOKEN_RENEWED_S) * 1000;
  }
  return '/media/' + (token ? '~' + token + '/' : '') + keyPath(key);
};

const clock = seconds => {
  const whole = Math.floor(seconds);
  const two = number => String(number).padStart(2, '0');
  return (whole >= 3600 ? Math.floor(whole / 3600) + ':' + two(Math.floor(whole / 60) % 60) : Math.floor(whole / 60)) + ':' + two(whole % 60);
};

const facts = () => {
  const parts = [sizeText(entry.size), typeOf(entry), dateText(entry.lastModified)];
  if (isFinite(video.duration)) parts.unshift(clock(video.duration));
  if (video.videoWidth) parts.push(video.videoWidth + '\u00a0×\u00a0' + video.videoHeight);
  $('facts').textContent = parts.filter(Boolean).join(' · ');
  $('facts').hidden = false;
};

const stop = () => {
  $('stage').hidden = true;
  $('keys').hidden = true;
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
  $('download').hidden = true;
  if (error.status === 401 || error.status === 403) return askForToken(error, open);
  if (error.status === 404 || error.status === 400) {
    return notice(true, 'There is no such video', [
      'It may have been moved, renamed or deleted. Look for it in the library, or ask whoever sent you the link.',
      make('span', 'soft', 'The server says: ' + sentence(error.message)),
    ], back());
  }
  return notice(true, 'The video cannot be opened', [sentence(error.message), advice(error)], button('Try again', () => open()), back());
};

const describe = () => {
  $('name').textContent = fileName(key) || 'vidgate';
  $('folder').textContent = folder(key) + '/';
  $('folder').hidden = !folder(key);
  document.title = (fileName(key) || 'Video') + ' – vidgate';
};

// Opens the video, at `at` seconds if it was open before.
const open = async (at = 0) => {
  $('notice').hidden = true;
  try {
    if (!key) throw Object.assign(new Error('this address names no video'), { status: 400 });
    entry = await ask('/api/videos/' + keyPath(key));
    const url = await mediaUrl();
    facts();
    $('download').href = url + '?download=' + encodeURIComponent(fileName(key));
    $('download').hidden = false;
    if (!playable(typeOf(entry))) {
      notice(false, 'This file is not a video or a sound', ['Its type is ' + (typeOf(entry) || 'unknown') + '. It can be downloaded.'], back());
      return;
    }
    $('stage').hidden = false;
    $('stage').classList.toggle('sound', /^audio\/(?!.*mpegurl)/.test(typeOf(entry)));
    $('keys').hidden = false;
    video.src = url;
    if (at) video.currentTime = at;
  } catch (error) {
    failed(error);
  }
};

// Opens the video anew at `at` seconds, and plays on if it was played.
const goOn = async at => {
  const play = wanted;
  await open(at);
  if (play) video.play().catch(() => {});
};

// A media error tells little: ask the server for the first byte to see whether it is the file, the way or the browser.
const mediaFailed = async () => {
  const fault = video.error;
  if (!fault || !video.hasAttribute('src')) return;
  const at = video.currentTime;
  if (fault.code === MediaError.MEDIA_ERR_NETWORK && retries++ < TIMES_RETRIED_MAX) {
    await goOn(at);
    return;
  }
  const refused = await fetch(video.src, { headers: { Range: 'bytes=0-0' }, cache: 'no-store' }).then(async answer => {
    if (answer.ok) {
      if (answer.body) await answer.body.cancel();
      return null;
    }
    const body = await answer.json().catch(() => null);
    return Object.assign(new Error(body && body.error && body.error.message || 'the server answered with status ' + answer.status), {
      status: answer.status, code: body && body.error && body.error.code,
    });
  }, () => Object.assign(new Error('The server cannot be reached.'), { status: 0, code: 'unreachable' }));
  if (refused) return failed(refused);
  stop();
  const again = button('Try again', () => { retries = 0; open(at); }, '');
  if (fault.code === MediaError.MEDIA_ERR_NETWORK) {
    return notice(true, 'The connection broke off', ['The video stopped at ' + clock(at) + '.'], again, back());
  }
  return notice(true, 'Your browser cannot play this file', [
    'The server sends it, but this browser does not know its format, or the file is damaged. Try another browser, or download it.',
    make('span', '', 'Whoever runs this server: MP4 with H.264 and AAC, its index at the front (ffmpeg: ', make('code', '', '-movflags +faststart'), '), plays everywhere.'),
  ], again, back());
};

// Goes on with a new token before the present one ends: a film that was paused overnight resumes where it was.
const renew = async () => {
  if (Date.now() < tokenEnds) return;
  tokenEnds = Infinity;
  await goOn(video.currentTime);
};

const toggleFull = () => {
  if (document.fullscreenElement) document.exitFullscreen();
  else if (video.requestFullscreen) video.requestFullscreen().catch(() => {});
  else if (video.webkitEnterFullscreen) video.webkitEnterFullscreen();
};

const step = seconds => {
  const end = isFinite(video.duration) ? video.duration : Infinity;
  video.currentTime = Math.min(end, Math.max(0, video.currentTime + seconds));
};

const KEYS = {
  ' ': () => video.paused ? video.play().catch(() => {}) : video.pause(),
  ArrowLeft: () => step(-STEP_S),
  ArrowRight: () => step(STEP_S),
  f: toggleFull,
  m: () => { video.muted = !video.muted; },
};

document.addEventListener('keydown', event => {
  const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action || event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey || $('stage').hidden) return;
  // A control has its own use for keys; the video's own controls know space and arrows already.
  if (event.target.closest('a, button, input, summary')) return;
  if (event.target === video && event.key.length !== 1 || event.target === video && event.key === ' ') return;
  event.preventDefault();
  action();
});
video.addEventListener('error', mediaFailed);
video.addEventListener('play', () => { wanted = true; });
video.addEventListener('pause', () => { wanted = wanted && Boolean(video.error); });
for (const moment of ['play', 'seeking', 'timeupdate']) video.addEventListener(moment, renew);
video.addEventListener('playing', () => { retries = 0; });
video.addEventListener('loadedmetadata', () => {
  facts();
  if (video.videoWidth) video.style.aspectRatio = video.videoWidth + ' / ' + video.videoHeight;
});

key = keyOfPage();
describe();
open();
