
// The uploads of the library page: into the folder that is shown, one file after the other, for whoever has the admin token.

const rows = []; // { key, state, upload, show }
let isRefused = false; // the token that there is
const isOperator = () => operator.get() !== '' && !isRefused;

const FAULTS = {
  0: 'The connection broke off, or the file has changed.',
  401: 'That admin token is not good.',
  404: 'This server takes no uploads.',
  412: 'There is a file of this name already.',
  413: 'It is larger than this server takes.',
};

const showUploads = () => {
  $('token').hidden = isOperator();
  $('drop').hidden = !isOperator();
  $('into').textContent = here ? 'Into the folder ' + here : '';
  // What was begun in this browser, and has no row: its file must be chosen once more, for a page may not open it by itself.
  const open = Object.entries(begun.all()).filter(([, [, key]]) => !rows.some(row => row.key === key));
  $('begun').replaceChildren(...isOperator() ? open.map(([mark, [path, key]]) => make('li', '',
    make('span', 'name', key), make('span', 'soft', 'Not finished. Choose the same file again to go on.'),
    button('Discard', () => {
      tusAsk('DELETE', path, {});
      begun.put(mark);
      showUploads();
    }, ''))) : []);
};

// Starts the next that waits, where none is under way.
const nextUpload = () => {
  const row = rows.find(({ state }) => state === 'waiting');
  if (row && isOperator() && !rows.some(({ state }) => state === 'sending' || state === 'retrying')) row.upload.start();
};

// Its card, where the library shows the place at which it belongs.
const arrived = async key => {
  const video = await ask('/api/videos/' + keyPath(key)).catch(() => null);
  const at = video ? films.findIndex(film => film.video.key >= key) : -1;
  if (!video || !playable(typeOf(video)) || at < 0 && next) return;
  films.splice(at < 0 ? films.length : at, Number(at >= 0 && films[at].video.key === key), filmOf(video));
  drawn = { words: null, count: 0 };
  show();
};

const addUpload = file => {
  const key = here + file.name;
  const text = make('span', 'soft');
  const bar = make('progress');
  bar.max = file.size;
  bar.value = 0;
  bar.setAttribute('aria-label', 'Uploaded of ' + key);
  const tools = make('span', 'row');
  const name = make('span', 'name', key);
  const item = make('li', '', name, text, bar, tools);
  const row = { key, state: 'waiting' };
  let began = 0; // when, and with how many bytes, it was last started
  let from = 0;
  const remove = () => {
    row.upload.drop();
    rows.splice(rows.indexOf(row), 1);
    item.remove();
    nextUpload();
  };
  const goOn = () => {
    row.state = 'waiting';
    nextUpload();
    if (row.state === 'waiting') show('waiting');
  };
  const sending = sent => {
    if (!began) [began, from] = [performance.now(), sent];
    bar.value = sent;
    const rate = (sent - from) * 1000 / (performance.now() - began);
    const parts = [sizeText(sent) + ' of ' + sizeText(file.size), Math.floor(100 * sent / file.size) + ' %'];
    return [...parts, ...rate > 0 ? [sizeText(rate) + '/s', clock((file.size - sent) / rate) + ' left'] : []].join(' · ');
  };
  const TEXTS = {
    waiting: () => isOperator() ? 'Waiting' : 'Waiting for the admin token',
    sending,
    retrying: () => 'The connection broke off. Trying again…',
    paused: () => 'Paused at ' + Math.floor(100 * bar.value / file.size) + ' %',
    done: () => 'Uploaded, ' + sizeText(file.size),
    failed: (status, message) => FAULTS[status] || sentence(message || 'The server answered with status ' + status),
  };
  const pause = () => row.upload.pause();
  const BUTTONS = {
    waiting: [['Remove', remove]],
    sending: [['Pause', pause], ['Cancel', remove]],
    retrying: [['Pause', pause], ['Cancel', remove]],
    paused: [['Go on', goOn], ['Cancel', remove]],
    failed: [['Try again', goOn], ['Remove', remove]],
    done: [],
  };
  const show = (state, ...more) => {
    const isNew = state !== row.state || !tools.children.length;
    row.state = state;
    text.textContent = TEXTS[state](...more);
    if (state !== 'sending') began = 0;
    if (!isNew) return;
    item.className = state;
    bar.hidden = state === 'done' || state === 'failed';
    const [[label, action] = [], ...others] = BUTTONS[state];
    const first = state === 'failed' && more[0] === 412 ? ['Replace it', () => { row.upload.replace(); goOn(); }] : [label, action];
    const hadFocus = tools.contains(document.activeElement);
    tools.replaceChildren(...label ? [first, ...others].map(([label, action]) => button(label, action, '')) : []);
    if (hadFocus && tools.firstChild) tools.firstChild.focus();
    if (state === 'done' || state === 'failed') $('upload-told').textContent = key + ': ' + text.textContent;
  };
  row.upload = tusUpload(file, key, (state, ...more) => {
    show(state, ...more);
    if (state === 'sending' || state === 'retrying') return;
    if (state === 'done') {
      const link = make('a', '', key);
      link.href = '/watch/' + keyPath(key);
      name.replaceChildren(link);
      arrived(key);
    }
    if (more[0] === 401 || more[0] === 403) {
      isRefused = true;
      goOn();
      showUploads();
      $('token-told').textContent = FAULTS[401];
      $('token-field').focus();
    }
    nextUpload();
  });
  rows.push(row);
  $('queue').append(item);
  show('waiting');
};

const addUploads = files => {
  toggleUploads(true);
  // A folder that is dropped comes as a file that cannot be read, of no type.
  for (const file of files) {
    if (!file.size) $('upload-told').textContent = file.name + ' is empty, or is a folder.';
    else if (!rows.some(row => row.key === here + file.name && row.state !== 'done')) addUpload(file);
  }
  showUploads();
  nextUpload();
};

const toggleUploads = is => {
  $('uploads').hidden = !is;
  $('upload').setAttribute('aria-expanded', String(is));
  if (is) showUploads();
};

$('token').addEventListener('submit', event => {
  event.preventDefault();
  operator.set($('token-field').value.trim());
  isRefused = false;
  $('token-field').value = $('token-told').textContent = '';
  showUploads();
  nextUpload();
  $('files').focus();
});
$('upload').addEventListener('click', () => toggleUploads($('uploads').hidden));
$('files').addEventListener('change', () => {
  addUploads([...$('files').files]);
  $('files').value = '';
});
// The server says whether it takes uploads; where it does not, nothing of all this is to be seen.
fetch('/api/uploads', { method: 'OPTIONS' }).then(({ headers }) => {
  if (!headers.get('Tus-Version')) return;
  $('upload').hidden = false;
  const isFiles = event => event.dataTransfer && event.dataTransfer.types.includes('Files');
  const dragged = is => document.body.classList.toggle('dragged', is);
  addEventListener('dragover', event => {
    if (!isFiles(event)) return;
    event.preventDefault();
    dragged(true);
  });
  addEventListener('dragleave', event => { if (!event.relatedTarget) dragged(false); });
  addEventListener('drop', event => {
    if (!isFiles(event)) return;
    event.preventDefault();
    dragged(false);
    addUploads([...event.dataTransfer.files]);
  });
}).catch(() => {});
