
// Resumable uploads by tus 1.0.0: the protocol alone. What came is known to the server, to the byte, so an upload goes on behind
// whatever broke it off: a connection, a pause, a page that was closed.

// What one request sends: a proxy in between may keep all of it before it passes any on.
const PIECE_LEN = 16 * 1024 * 1024;
const UPLOAD_RETRY_MS = [0, 1000, 2000, 4000, 8000, 16000]; // since something came through last; a person may go on
const UPLOADS_REMEMBERED_MAX = 50;

// The uploads that this browser began and that have not ended: { mark: [path, key] }.
const unfinished = kept('vidgate-uploads');
const begun = {
  all: unfinished.all,
  put: (mark, path, key) => {
    const others = Object.entries(unfinished.all()).filter(([known]) => known !== mark).slice(1 - UPLOADS_REMEMBERED_MAX);
    unfinished.set(path ? [...others, [mark, [path, key]]] : others);
  },
};

// The admin token, kept for this tab only: the one that opens the library, where that is one, or another. It is used for uploads only,
// so that an open server is not asked for tokens that it does not sell.
const operator = {
  get: () => sessionStorage.getItem('vidgate-admin') || (isPlaybackToken(secret.get()) ? '' : secret.get()),
  set: value => sessionStorage.setItem('vidgate-admin', value),
};

// One request. Answers with status 0 where nothing came back. `hold` is given what can be aborted.
const tusAsk = (method, path, fields, body = null, hold = () => {}, onSent = null) => new Promise(resolve => {
  const request = new XMLHttpRequest();
  request.open(method, path);
  const all = { 'Tus-Resumable': '1.0.0', Authorization: 'Bearer ' + operator.get(), ...fields };
  for (const [name, value] of Object.entries(all)) request.setRequestHeader(name, value);
  if (onSent) request.upload.onprogress = event => onSent(event.loaded);
  request.onloadend = () => {
    let message = '';
    try {
      message = JSON.parse(request.responseText).error.message;
    } catch { /* it says nothing */ }
    resolve({ status: request.status, message, field: name => request.getResponseHeader(name) });
  };
  hold(request);
  request.send(body);
});

const pair = (name, text) => name + ' ' + btoa(String.fromCharCode(...new TextEncoder().encode(text)));

// Uploads a file as `key`. `tell` hears `sending` (with the bytes that are there), `retrying`, `paused`, `done`, or `failed` (with
// status and message).
const tusUpload = (file, key, tell) => {
  const mark = [key, file.size, file.lastModified].join('|');
  let path = (begun.all()[mark] || [])[0];
  let offset = null; // what the server has; null where it must be asked
  let tries = 0;
  let turn = 0; // of `run`: one that is not the latest ends
  let request = null;
  let awake = () => {};
  let mayReplace = false;

  const forget = () => {
    begun.put(mark);
    path = '';
    offset = null;
  };
  const ask = (method, fields, body, onSent) => tusAsk(method, path || '/api/uploads', fields, body, it => { request = it; }, onSent);

  // One request: what is to be done next.
  const step = async () => {
    if (!path) {
      const metadata = [pair('key', key), pair('filename', file.name), ...file.type ? [pair('filetype', file.type)] : []];
      const made = await ask('POST', {
        'Upload-Length': file.size, 'Upload-Metadata': metadata.join(), ...mayReplace ? {} : { 'If-None-Match': '*' },
      });
      if (made.status === 201) {
        // Whatever stands in front of the server, this page has its origin.
        path = new URL(made.field('Location'), location).pathname;
        offset = 0;
        begun.put(mark, path, key);
      }
      return made;
    }
    const at = offset;
    const answer = at === null ? await ask('HEAD', {}) : await ask(
      'PATCH', { 'Upload-Offset': at, 'Content-Type': 'application/offset+octet-stream' },
      file.slice(at, at + PIECE_LEN), sent => tell('sending', at + sent),
    );
    if (answer.status === 200 || answer.status === 204) {
      offset = Number(answer.field('Upload-Offset'));
      if (at !== null && offset > at) tries = 0;
      tell('sending', offset);
    }
    return answer;
  };

  const run = async () => {
    const mine = ++turn;
    while (offset === null || offset < file.size) {
      const { status, message } = await step();
      if (mine !== turn) return;
      if (status >= 200 && status < 300) continue;
      offset = null;
      // The server does not know it any more: it expired, or was ended elsewhere.
      const isGone = path && (status === 404 || status === 410);
      if (isGone || status === 412) forget();
      const mayPass = isGone || [0, 409, 423, 429].includes(status) || status >= 500;
      if (!mayPass || tries >= UPLOAD_RETRY_MS.length) return tell('failed', status, message);
      tell('retrying');
      await new Promise(resolve => {
        awake = resolve;
        setTimeout(resolve, UPLOAD_RETRY_MS[tries++]);
      });
      if (mine !== turn) return;
    }
    forget();
    tell('done');
  };

  const halt = () => {
    turn++;
    offset = null;
    if (request) request.abort();
    awake();
  };
  addEventListener('online', () => awake());
  return {
    start: () => {
      tries = 0;
      tell('sending', offset || 0);
      run();
    },
    pause: () => {
      halt();
      tell('paused');
    },
    replace: () => { mayReplace = true; },
    // Ends it here and on the server.
    drop: () => {
      halt();
      if (path) tusAsk('DELETE', path, {});
      forget();
    },
  };
};
