// The way between a browser and a server that takes uploads, and what goes over it.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import { WAIT_MS } from './lib.mjs';

// How many bytes a second crawl: more than a server wants that ends a body which does not come.
const CRAWL = 64 * 1024;

// A relay in front of the server at `base`, at a port of its own or this one. `rate` is how many bytes a second go to the server, `sent`
// how many went there, `cutAt` after how many of them, in all, everything is cut, `crawlFrom` after how many the rest crawls, for longer
// than any check takes. What is cut is lost where it did not come through.
export async function openWay(base, port = 0) {
  const open = new Set();
  const cut = () => { for (const client of open) client.destroy(); };
  const waiting = new Set();
  const relay = net.createServer(client => {
    const server = net.connect(Number(new URL(base).port), new URL(base).hostname);
    open.add(client);
    client.on('error', () => {});
    server.on('error', () => {});
    // What came through before the cut arrives.
    client.on('close', () => {
      open.delete(client);
      server.end();
    });
    server.on('close', () => client.destroy());
    server.pipe(client);
    client.on('data', bytes => {
      way.sent += bytes.length;
      server.write(bytes);
      const crawls = way.sent >= way.crawlFrom;
      if (crawls) for (const resolve of waiting) resolve();
      const rate = crawls ? CRAWL : way.rate;
      if (way.sent >= way.cutAt[0]) {
        way.cutAt.shift();
        cut();
      } else if (rate < Infinity) {
        client.pause();
        setTimeout(() => client.resume(), 1000 * bytes.length / rate);
      }
    });
  });
  await new Promise((resolve, reject) => {
    relay.on('error', reject);
    relay.listen(port, '127.0.0.1', resolve);
  });
  const way = {
    origin: `http://127.0.0.1:${relay.address().port}`,
    rate: Infinity,
    sent: 0,
    cutAt: [],
    crawlFrom: Infinity,
    cut,
    // Resolves when the rest crawls: browsers count what the system took from them, which need not have come so far.
    crawling: () => new Promise((resolve, reject) => {
      if (way.sent >= way.crawlFrom) resolve();
      waiting.add(resolve);
      setTimeout(() => reject(new Error(`only ${way.sent} bytes came of ${way.crawlFrom}`)), WAIT_MS).unref();
    }),
    close: () => {
      cut();
      relay.close();
    },
  };
  return way;
}

// What the page sends on from now on: an upload goes on where the server says that it is, and does not begin anew. The file must be
// shorter than what the page sends in one request: a longer one goes on in any case. Answers a function that asserts it, and tells how
// much was sent for the file: no more than the file where nothing was lost on the way, which is not for a busy machine to promise.
export function goingOn(page, way) {
  const offsets = [];
  const note = request => {
    if (request.method() === 'PATCH') offsets.push(Number(request.headers()['upload-offset']));
  };
  page.on('request', note);
  way.sent = 0;
  return ({ bytes }) => {
    page.off('request', note);
    assert.ok(offsets.length >= 2 && offsets[0] === 0 && offsets.at(-1) > 0, `from ${offsets}`);
    assert.ok(offsets.every((offset, at) => at === 0 || offset >= offsets[at - 1]), `from ${offsets}`);
    return `sent from ${offsets.join(', ')}: ${way.sent} bytes for ${bytes.length}`;
  };
}

// A file that is like no other.
export async function makeFile(folder, name, length) {
  const bytes = randomBytes(length);
  await writeFile(path.join(folder, name), bytes);
  return { name, path: path.join(folder, name), bytes };
}

export const keyPath = key => key.split('/').map(encodeURIComponent).join('/');

const md5 = bytes => createHash('md5').update(bytes).digest('hex');

// The server has this object, with the bytes of the file.
export async function holds(base, key, { bytes }) {
  const answer = await fetch(`${base}/media/${keyPath(key)}`);
  assert.equal(answer.status, 200, key);
  assert.equal(md5(Buffer.from(await answer.arrayBuffer())), md5(bytes), key);
}
