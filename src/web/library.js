
// The library page: the list of the store, a hundred entries at a time.

const PAGE_LEN = 100;
// A page may hold nothing to play (the segments of an HLS film): go on by ourselves, but not for ever.
const EMPTY_PAGES_MAX = 10;

const cards = []; // { element, text }: what can be played
let othersCount = 0;
let next = null;

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

const line = (...parts) => parts.filter(Boolean).join(' · ');

const card = video => {
  const number = mark(video.key);
  const art = make('div', 'art');
  art.dataset.p = number % 5;
  const picture = svg('svg', { viewBox: '0 0 320 150', preserveAspectRatio: 'xMidYMax slice', 'aria-hidden': 'true' });
  picture.append(
    svg('circle', { cx: 50 + (number >>> 4) % 220, cy: 34 + (number >>> 8) % 34, r: 15, fill: 'var(--sun)' }),
    svg('use', { href: '#hills' }),
  );
  art.append(picture, make('span', 'kind', kindText(video.key, typeOf(video))));
  const name = make('span', 'name', fileName(video.key));
  name.dir = 'auto';
  const text = make('div', 'text', name);
  if (folder(video.key)) {
    const where = make('span', 'soft where', folder(video.key) + '/');
    where.dir = 'auto';
    text.append(where);
  }
  text.append(make('span', 'soft', line(sizeText(video.size), dateText(video.lastModified))));
  const link = make('a', 'card', art, text);
  link.href = '/watch/' + keyPath(video.key);
  link.title = video.key;
  return make('li', '', link);
};

const other = video => {
  const link = make('a', 'name', video.key);
  link.href = '/watch/' + keyPath(video.key);
  link.dir = 'auto';
  return make('li', '', link, make('span', 'soft', sizeText(video.size)));
};

// Adds one page of the list; says whether it held anything to play.
const add = videos => {
  let found = false;
  for (const video of videos) {
    if (!playable(typeOf(video))) {
      othersCount++;
      $('others-list').append(other(video));
      continue;
    }
    found = true;
    const element = card(video);
    cards.push({ element, text: video.key.toLocaleLowerCase() });
    $('grid').append(element);
  }
  return found;
};

const emptyNotice = () => {
  const code = text => make('code', '', text);
  const bucket = make('span', '', 'For a bucket, set ', code('AWS_BUCKET_NAME'), ' and its keys; for a folder on the server, set ', code('VIDGATE_DIR'), '. Then start vidgate again.');
  const check = make('span', '', 'The log of ', code('vidgate'), ' says whether the store can be read.');
  notice(false, othersCount ? 'There is nothing to play here yet' : 'There are no videos here yet', [
    'The store can be read, but it holds no video that a browser could play. Put one into it, or point the server to another store.',
    bucket, check,
  ], button('Look again', () => load(), ''));
};

// Brings the page in line with what is loaded and what is typed.
const show = () => {
  const words = $('search').value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const { element, text } of cards) {
    element.hidden = !words.every(word => text.includes(word));
    if (!element.hidden) shown++;
  }
  const total = cards.length + (next ? ' loaded' : '') + (cards.length === 1 && !next ? ' video' : next ? '' : ' videos');
  $('count').textContent = cards.length ? (words.length ? shown + ' of ' : '') + total : '';
  $('more').hidden = !next;
  $('others').hidden = !othersCount;
  $('others-count').textContent = othersCount;
  $('notice').hidden = true;
  if (!cards.length && !next) emptyNotice();
  else if (words.length && !shown) {
    notice(false, 'Nothing matches', [next ? 'Not among the entries loaded so far. There are more.' : 'No name or folder holds what you typed.'],
      button('Clear the filter', () => { $('search').value = ''; show(); $('search').focus(); }, ''));
  }
};

const failed = error => {
  $('count').textContent = cards.length ? cards.length + ' loaded' : '';
  $('more').hidden = true;
  if (error.status === 401 || error.status === 403) return askForToken(error, load);
  return notice(true, 'The list cannot be loaded', [sentence(error.message), advice(error)], button('Try again', () => load()));
};

// One page of the list, or of the part of it that the token in use opens.
const askForPage = async () => {
  const { key, prefix } = claims(secret.get());
  if (key) return { videos: [await ask('/api/videos/' + keyPath(String(key)))], next: null };
  return ask('/api/videos?limit=' + PAGE_LEN + (prefix ? '&prefix=' + encodeURIComponent(prefix) : '') + (next ? '&after=' + encodeURIComponent(next) : ''));
};

// Loads the next page of the list, the first one at first.
const load = async () => {
  $('load').disabled = true;
  $('grid').setAttribute('aria-busy', 'true');
  $('notice').hidden = true;
  if (!cards.length) $('count').textContent = 'Loading…';
  try {
    for (let tries = 0; tries < EMPTY_PAGES_MAX; tries++) {
      const page = await askForPage();
      if (!next) { // the first page, perhaps once more
        cards.length = 0;
        othersCount = 0;
        $('grid').replaceChildren();
        $('others-list').replaceChildren();
      }
      next = page.next || null;
      if (add(page.videos || []) || !next) break;
    }
    show();
  } catch (error) {
    failed(error);
  } finally {
    $('load').disabled = false;
    $('grid').removeAttribute('aria-busy');
  }
};

$('search').addEventListener('input', () => { if (cards.length) show(); });
$('load').addEventListener('click', async () => {
  const before = cards.length;
  await load();
  const first = cards[before];
  if (first) first.element.firstChild.focus({ preventScroll: true });
});
load();
