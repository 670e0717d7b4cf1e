
// The library page: the list of the store, a hundred entries at a time, of one folder (`/?in=FOLDER/`) with all that is below it.

const PAGE_LEN = 100;
// Where a question is for what may be far behind (a search; a page that held nothing to play, such as the segments of an HLS film),
// the list is read in larger pages, and not for ever.
const SWEEP_LEN = 1000;
const SWEEPS_MAX = 30;
// Folders that come behind the first page are looked for with one small question each.
const FOLDERS_ASKED_MAX = 24;
const OTHERS_SHOWN_MAX = 500;

const films = []; // { video, text, element }: what can be played and was loaded
const others = [];
const folders = new Set();
const grid = $('grid');
let here = new URLSearchParams(location.search).get('in') || '';
let next = null; // where the list goes on
let shownMax = PAGE_LEN;
let drawn = { words: '', count: 0 }; // what the grid shows
let search = 0; // the number of the latest search: those before it stop
const known = memory.all();

const svg = (tag, attributes) => {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};

// A number made from the key, so that a film keeps its colours.
const mark = key => [...key].reduce((sum, char) => (sum * 31 + char.codePointAt(0)) >>> 0, 7);

const kindText = (key, type) => {
  const extension = /\.([a-z0-9]{1,5})$/i.exec(key);
  return (extension ? extension[1] : type.split('/')[1] || '').toUpperCase();
};

const folderLink = (path, label, className) => {
  const link = make('a', className, label);
  link.href = path ? '/?in=' + encodeURIComponent(path) : '/';
  return link;
};

const card = ({ key, size, lastModified, contentType }) => {
  const number = mark(key);
  const [at, length] = known[key] || [];
  const art = make('div', 'art');
  art.dataset.p = number % 5;
  art.setAttribute('aria-hidden', 'true');
  const picture = svg('svg', { viewBox: '0 0 320 150', preserveAspectRatio: 'xMidYMax slice' });
  picture.append(
    svg('circle', { cx: 50 + (number >>> 4) % 220, cy: 34 + (number >>> 8) % 34, r: 15, fill: 'var(--sun)' }),
    svg('use', { href: '#hills' }),
  );
  art.append(picture);
  if (length) art.append(make('span', 'badge', clock(length)));
  if (length && at) {
    const bar = svg('svg', { class: 'seen', viewBox: '0 0 100 1', preserveAspectRatio: 'none' });
    bar.append(svg('rect', { width: Math.min(100, 100 * at / length), height: 1 }));
    art.append(bar);
  }
  const name = make('span', 'name', fileName(key));
  name.dir = 'auto';
  const text = make('div', 'text', name);
  const inside = folder(key).slice(here.length);
  if (inside) {
    const where = make('span', 'soft where', inside + '/');
    where.dir = 'auto';
    text.append(where);
  }
  const facts = [kindText(key, typeOf({ contentType })), sizeText(size), dateText(lastModified)];
  text.append(make('span', 'soft', facts.filter(Boolean).join(' · ')));
  if (length) text.append(make('span', 'sr', ', ' + clock(length) + ' long' + (at ? ', watched up to ' + clock(at) : '')));
  const link = make('a', 'card', art, text);
  link.href = '/watch/' + keyPath(key);
  link.title = key;
  return make('li', '', link);
};

const other = video => {
  const link = make('a', 'name', video.key.slice(here.length));
  link.href = '/watch/' + keyPath(video.key);
  link.dir = 'auto';
  return make('li', '', link, make('span', 'soft', sizeText(video.size)));
};

// The folder of a key just below the one that is shown: its name with a slash, or nothing.
const below = key => key.slice(here.length, key.indexOf('/', here.length) + 1 || here.length);

const describe = () => {
  const parts = here.split('/').filter(Boolean);
  $('title').textContent = parts.length ? parts[parts.length - 1] : 'Videos';
  document.title = (parts.length ? here : 'Videos') + ' – vidgate';
  $('trail').hidden = !parts.length;
  $('trail').replaceChildren(folderLink('', 'Videos', ''),
    ...parts.slice(0, -1).flatMap((part, at) => [' / ', folderLink(parts.slice(0, at + 1).join('/') + '/', part, 'name')]), ' /');
};

const showFolders = () => {
  $('folders').hidden = !folders.size;
  $('folders').firstChild.replaceChildren(...[...folders].sort().map(name => make('li', '', folderLink(here + name, name.slice(0, -1), 'button name'))));
};

const filmOf = video => ({ video, text: video.key.toLocaleLowerCase(), element: null });

// Takes in one page of the list; says whether it held anything to play.
const add = videos => {
  const before = films.length;
  for (const video of videos) {
    if (playable(typeOf(video))) films.push(filmOf(video));
    else others.push(video);
    const name = below(video.key);
    if (name) folders.add(name);
  }
  return films.length > before;
};

const emptyNotice = () => {
  const code = text => make('code', '', text);
  const bucket = make('span', '', 'For a bucket, set ', code('AWS_BUCKET_NAME'), ' and its keys; for a folder on the server, set ', code('VIDGATE_DIR'), '. Then start vidgate again.');
  const check = make('span', '', 'The log of ', code('vidgate'), ' says whether the store can be read.');
  if (here) return notice(false, 'This folder holds no videos', ['It may have been moved or emptied.'], folderLink('', 'All videos', 'button'));
  return notice(false, others.length ? 'There is nothing to play here yet' : 'There are no videos here yet', [
    'The store can be read, but it holds no video that a browser could play. Put one into it, or point the server to another store.',
    bucket, check,
  ], button('Look again', () => load(), ''));
};

const typed = () => $('search').value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
const matching = words => words.length ? films.filter(({ text }) => words.every(word => text.includes(word))) : films;

const countText = (found, words) => {
  const number = count => count.toLocaleString() + (count === 1 ? ' video' : ' videos');
  if (!films.length) return '';
  if (!words.length) return number(films.length) + (next ? ' so far' : '');
  return number(found) + (next ? ' among ' + films.length.toLocaleString() + ' so far' : ' of ' + films.length.toLocaleString());
};

// Brings the page in line with what is loaded and what is typed. Cards that stand already stay where they are.
const show = () => {
  const words = typed();
  const found = matching(words);
  const wanted = Math.min(found.length, shownMax);
  const same = drawn.words === words.join(' ') && drawn.count <= wanted;
  const cards = found.slice(same ? drawn.count : 0, wanted).map(film => (film.element = film.element || card(film.video)));
  if (same) grid.append(...cards);
  else grid.replaceChildren(...cards);
  drawn = { words: words.join(' '), count: wanted };
  $('count').textContent = countText(found.length, words);
  $('more').hidden = !next && wanted === found.length;
  $('others').hidden = !others.length;
  $('others-count').textContent = others.length.toLocaleString();
  const list = $('others-list');
  list.append(...others.slice(list.children.length, OTHERS_SHOWN_MAX).map(other));
  showFolders();
  $('notice').hidden = true;
  if (!films.length && !next && !grid.hasAttribute('aria-busy')) emptyNotice();
  else if (words.length && !found.length && !grid.hasAttribute('aria-busy')) {
    notice(false, 'Nothing matches', [next ? 'Not among the entries looked through so far. There are more.' : 'No name or folder holds what you typed.'],
      button('Clear the search', () => { $('search').value = ''; show(); $('search').focus(); }, ''));
  }
};

const failed = error => {
  $('count').textContent = films.length ? films.length.toLocaleString() + ' loaded' : '';
  $('more').hidden = true;
  if (error.status === 401 || error.status === 403) return askForToken(error, load);
  return notice(true, 'The list cannot be loaded', [sentence(error.message), advice(error)], button('Try again', () => load()));
};

const listPath = (limit, after) => '/api/videos?limit=' + limit + (here && '&prefix=' + encodeURIComponent(here)) + (after ? '&after=' + encodeURIComponent(after) : '');

// One page of the list, or of the part of it that the token in use opens.
const askForPage = limit => {
  const { key, prefix } = claims(secret.get());
  if (key) return ask('/api/videos/' + keyPath(String(key))).then(video => ({ videos: [video], next: null }));
  if (prefix && !here.startsWith(String(prefix))) {
    here = String(prefix);
    describe();
  }
  return ask(listPath(limit, next));
};

// Loads on until `enough` says so, the list ends, or another search has begun, which then goes on from there.
const sweep = async (limit, enough) => {
  const mine = search;
  const isFirst = !next;
  $('load').disabled = true;
  grid.setAttribute('aria-busy', 'true');
  $('notice').hidden = true;
  if (!films.length) $('count').textContent = 'Loading…';
  let fault = null;
  try {
    for (let tries = 0; tries < SWEEPS_MAX; tries++) {
      const page = await askForPage(limit);
      if (isFirst && !tries) { // the first page, perhaps once more
        films.length = others.length = drawn.count = 0;
        folders.clear();
        grid.replaceChildren();
        $('others-list').replaceChildren();
      }
      next = page.next || null;
      const found = add(page.videos || []);
      if (!next || mine !== search || enough(found)) break;
      limit = SWEEP_LEN;
      show();
    }
  } catch (error) {
    fault = error;
  }
  $('load').disabled = false;
  grid.removeAttribute('aria-busy');
  if (fault) failed(fault);
  else if (mine !== search) searchOn();
  else show();
  return !fault;
};

// The folders behind what was loaded: from each, one question leads behind it, to the next.
const findFolders = async () => {
  for (let last = films.length && below(films[films.length - 1].video.key), asked = 0; last && next && asked < FOLDERS_ASKED_MAX; asked++) {
    // "0" comes right behind "/": no key of the folder is skipped over but the folder's own.
    const page = await ask(listPath(1, here + last.slice(0, -1) + '0')).catch(() => null);
    if (!page || !page.videos.length) return;
    last = below(page.videos[0].key);
    if (last && folders.has(last)) return;
    if (last) {
      folders.add(last);
      showFolders();
    }
  }
};

const load = async () => {
  describe();
  if (await sweep(PAGE_LEN, found => found)) findFolders();
};

// Looks for what is typed in all that is there, and stops where there is a page of it.
const searchOn = () => {
  search++;
  shownMax = PAGE_LEN;
  show();
  const words = typed();
  const isEnough = () => matching(words).length >= shownMax;
  if (words.length && next && !isEnough() && !grid.hasAttribute('aria-busy')) sweep(SWEEP_LEN, isEnough);
};

const loadMore = async () => {
  const before = drawn.count;
  shownMax += PAGE_LEN;
  const words = typed();
  if (matching(words).length < shownMax && next) {
    await sweep(words.length ? SWEEP_LEN : PAGE_LEN, found => words.length ? matching(words).length >= shownMax : found);
  } else show();
  const first = grid.children[before];
  if (first) first.firstChild.focus({ preventScroll: true });
};

// From card to card with the arrows, as they lie on the screen.
const STEPS = { ArrowLeft: () => -1, ArrowRight: () => 1, ArrowUp: columns => -columns, ArrowDown: columns => columns };
grid.addEventListener('keydown', event => {
  const step = STEPS[event.key];
  if (!step || event.ctrlKey || event.altKey || event.metaKey) return;
  const cards = [...grid.children];
  const at = cards.findIndex(item => item.contains(event.target));
  const columns = cards.findIndex(item => item.offsetTop > cards[0].offsetTop);
  const to = cards[at + step(columns < 0 ? cards.length : columns)];
  if (at < 0 || !to) return;
  event.preventDefault();
  to.firstChild.focus();
});
document.addEventListener('keydown', event => {
  if (event.key !== '/' || event.ctrlKey || event.altKey || event.metaKey || event.target.closest('input')) return;
  event.preventDefault();
  $('search').focus();
});
$('search').addEventListener('input', searchOn);
$('load').addEventListener('click', loadMore);
load();
