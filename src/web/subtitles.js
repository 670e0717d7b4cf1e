
// Subtitles that lie beside the film: `film.mp4` with `film.en.vtt` or `film.en.srt`. They are few and small, so they are read as
// soon as the film has begun; a token that ends later is no matter to them.

const SUBTITLES_MAX = 16;
const SUBTITLE_LEN_MAX = 2000000;

// Old files are often not UTF-8; then they are most often this.
const decode = bytes => {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder('windows-1252').decode(bytes);
  }
};

// SubRip as WebVTT (W3C WebVTT, section 4): the same cues under a heading, with a point before the milliseconds. Counters become
// the names of cues. Placements like {\an8} mean nothing to a browser.
const vttOfSrt = text => {
  const time = (hours, minutes, seconds, rest) => hours.padStart(2, '0') + ':' + minutes.padStart(2, '0') + ':' + seconds.padStart(2, '0') + '.' + rest.padEnd(3, '0');
  const line = /^\s*(\d+):(\d+):(\d+)[,.](\d{1,3})\s*-->\s*(\d+):(\d+):(\d+)[,.](\d{1,3}).*$/;
  return 'WEBVTT\n\n' + text.replace(/\r\n?/g, '\n').split('\n').map(it => {
    const [timed, ...parts] = line.exec(it) || [];
    return timed ? time(...parts.slice(0, 4)) + ' --> ' + time(...parts.slice(4)) : it.replace(/\{\\[^}]*\}/g, '');
  }).join('\n') + '\n';
};

// What stands between the film's name and the ending: a language, as people write it.
const subtitleLanguage = (stem, key) => {
  const [code, ...rest] = key.slice(stem.length, key.lastIndexOf('.')).split('.').filter(Boolean);
  let name = code || 'Subtitles';
  let language = '';
  try {
    language = code ? Intl.getCanonicalLocales(code.replace(/_/g, '-'))[0] : '';
    if (language) name = new Intl.DisplayNames([language], { type: 'language' }).of(language) || code;
  } catch { /* no language: the text itself is the name */ }
  return { language, label: name[0].toUpperCase() + name.slice(1) + (rest.length ? ' (' + rest.join(', ') + ')' : '') };
};

// Whether the token in use opens what starts so; without one the server is open, or the operator asks.
const mayRead = prefix => {
  const token = secret.get();
  return !isPlaybackToken(token) || typeof claims(token).prefix === 'string' && prefix.startsWith(claims(token).prefix);
};

// Finds them and puts them on the video. `mediaOf` answers where a key lies, and opens what starts so.
const addSubtitles = async (video, filmKey, mediaOf) => {
  const stem = filmKey.replace(/\.[^./]+$/, '');
  if (!mayRead(stem + '.')) return;
  const { videos } = await ask('/api/videos?limit=100&prefix=' + encodeURIComponent(stem + '.'));
  const found = videos.filter(({ key, size }) => /\.(vtt|srt)$/i.test(key) && !key.slice(stem.length).includes('/') && size <= SUBTITLE_LEN_MAX);
  for (const { key } of found.slice(0, SUBTITLES_MAX)) {
    const answer = await fetch(await mediaOf(key, stem + '.'));
    if (!answer.ok) continue;
    const text = decode(await answer.arrayBuffer());
    const track = make('track');
    const { language, label } = subtitleLanguage(stem, key);
    track.kind = 'subtitles';
    track.label = label;
    track.srclang = language;
    track.src = URL.createObjectURL(new Blob([/\.srt$/i.test(key) ? vttOfSrt(text) : text], { type: 'text/vtt' }));
    video.append(track);
  }
};
