'use strict';
// What both pages need. Keys, messages and types come from strangers: they enter the page as text only, never as markup.

const $ = id => document.getElementById(id);

// An element with a class and children; a string child becomes a text node.
const make = (tag, className, ...children) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
};

// A key as a path: each segment is encoded. A first "~" would name a token, a last "stream", "url" or "cookies" a verb,
// and routes are matched before decoding, so the first letter of such a segment is written as an escape.
const keyPath = key => key.split('/').map((segment, index, all) => {
  const path = encodeURIComponent(segment);
  const reserved = index === 0 && path.startsWith('~') || index === all.length - 1 && /^(stream|url|cookies)$/.test(path);
  return reserved ? '%' + path.charCodeAt(0).toString(16).toUpperCase() + path.slice(1) : path;
}).join('/');

const fileName = key => key.slice(key.lastIndexOf('/') + 1);
const folder = key => key.slice(0, Math.max(0, key.lastIndexOf('/')));

const typeOf = video => String(video.contentType || '').split(';')[0].trim().toLowerCase();
// Segments of HLS and DASH are video too, but nobody watches one alone.
const playable = type => /^(video|audio)\//.test(type) && !/^video\/(mp2t|iso\.segment)$/.test(type)
  || /^(application|audio)\/(vnd\.apple\.mpegurl|x-mpegurl)$/.test(type);

const sizeText = bytes => {
  if (typeof bytes !== 'number' || !(bytes >= 0)) return '';
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  let unit = 0;
  for (; bytes >= 999.5 && unit < units.length - 1; unit++) bytes /= 1000;
  return (unit && bytes < 99.95 ? bytes.toFixed(1) : Math.round(bytes)) + ' ' + units[unit];
};

const dateText = date => {
  const when = new Date(date || NaN);
  return isNaN(when) ? '' : new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' }).format(when);
};

const clock = seconds => {
  const whole = Math.floor(seconds);
  const two = number => String(number).padStart(2, '0');
  return (whole >= 3600 ? Math.floor(whole / 3600) + ':' + two(Math.floor(whole / 60) % 60) : Math.floor(whole / 60)) + ':' + two(whole % 60);
};

// What this browser keeps under a name, for all its tabs. It may refuse to keep anything; then nothing is known.
const kept = name => ({
  all: () => {
    try {
      return JSON.parse(localStorage.getItem(name)) || {};
    } catch {
      return {};
    }
  },
  set: entries => {
    try {
      localStorage.setItem(name, JSON.stringify(Object.fromEntries(entries)));
    } catch { /* nothing is kept */ }
  },
});

// Films that were opened in it: { key: [seconds watched, length in seconds, when] }, the latest only.
const FILMS_REMEMBERED_MAX = 300;
const watched = kept('vidgate-films');
const memory = {
  all: watched.all,
  put: (key, at, length) => {
    const all = { ...watched.all(), [key]: [Math.round(at), Math.round(length), Date.now()] };
    watched.set(Object.entries(all).sort((one, other) => other[1][2] - one[1][2]).slice(0, FILMS_REMEMBERED_MAX));
  },
};

// The playback token or admin bearer, kept for this tab only. One in the address of the page is taken over and taken off.
const secret = {
  get: () => sessionStorage.getItem('vidgate-token') || '',
  set: value => sessionStorage.setItem('vidgate-token', value),
  drop: () => sessionStorage.removeItem('vidgate-token'),
};
{
  const query = new URLSearchParams(location.search);
  const given = query.get('token') || new URLSearchParams(location.hash.slice(1)).get('token');
  if (given) {
    secret.set(given);
    query.delete('token');
    history.replaceState(null, '', location.pathname + (query.size ? '?' + query : ''));
  }
}

// A playback token is a JWT; whatever else was entered is an admin token.
const isPlaybackToken = token => /^[\w-]+\.[\w-]+\.[\w-]+$/.test(token);

// What a playback token says of itself (the server checks it; here it only tells what to ask for): {} for any other secret.
const claims = token => {
  try {
    const bytes = atob(token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/'));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(bytes, char => char.charCodeAt(0)))) || {};
  } catch {
    return {};
  }
};

// Asks the server. Throws an Error with `status` (0: no answer) and `code`; its message is the server's own where there is one.
const ask = async (path, options = {}) => {
  const headers = { ...options.headers };
  if (secret.get()) headers.Authorization = 'Bearer ' + secret.get();
  const fail = (message, status, code) => { throw Object.assign(new Error(message), { status, code }); };
  let answer;
  try {
    answer = await fetch(path, { ...options, headers, cache: 'no-store' });
  } catch {
    fail('The server cannot be reached.', 0, 'unreachable');
  }
  const body = await answer.json().catch(() => null);
  if (answer.ok && body) return body;
  const error = body && body.error || {};
  return fail(String(error.message || 'The server answered with status ' + answer.status + '.'), answer.status, String(error.code || ''));
};

// What a person can do about a failed question.
const advice = error => ({
  unreachable: 'Check your connection, and that the server is running, then try again.',
  upstream_unavailable: 'Whoever runs this server finds the cause in its log.',
  upstream_forbidden: 'The server may not read its store. Its log names what was refused.',
  upstream_timeout: 'The store is slow at the moment. Try again in a minute.',
  too_many_streams: 'Too many people are watching. Try again in a minute.',
  busy: 'The server is busy. Try again in a minute.',
})[error.code] || 'Try again; if it stays so, the log of the server says why.';

const sentence = text => text && text[0].toUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? '' : '.');

// Fills the page's notice: a heading, paragraphs (strings or nodes), buttons. It is read out, as the box is a live region.
const notice = (bad, heading, paragraphs, ...buttons) => {
  const box = $('notice');
  box.className = bad ? 'notice bad' : 'notice';
  box.replaceChildren(make('h2', '', heading), ...paragraphs.filter(Boolean).map(text => text.nodeName === 'FORM' ? text : make('p', '', text)));
  if (buttons.length) box.append(make('div', 'row', ...buttons));
  box.hidden = false;
};

const button = (label, action, className = 'main') => {
  const element = make('button', className, label);
  element.type = 'button';
  element.addEventListener('click', action);
  return element;
};

// Asks for a token where the server is closed to strangers, and goes on with it.
const askForToken = (error, retry) => {
  const tried = secret.get() !== '';
  const field = make('input');
  field.type = 'password';
  field.required = true;
  field.autocomplete = 'off';
  field.setAttribute('aria-label', 'Token');
  const form = make('form', 'row', field, make('button', 'main', 'Open'));
  form.addEventListener('submit', event => {
    event.preventDefault();
    secret.set(field.value.trim());
    retry();
  });
  if (tried) secret.drop();
  notice(tried, tried ? 'That token does not open this' : 'These videos need a token', [
    tried ? sentence(error.message) : '',
    'Enter a playback token, or the admin token of this server. It is kept for this tab only.', form,
  ]);
  field.focus();
};
