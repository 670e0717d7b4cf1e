// Forms as a real browser sends them.
//
//   node forms.mjs BASE_URL ADMIN_TOKEN
//
// The server at BASE_URL must take uploads by that token. Prints a line for each check; the first that fails ends the run with status 1.
// CHROMIUM names the browser, if it is not /usr/bin/chromium. Nothing here sleeps: each wait is for a condition, with a limit.
import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';
import { check } from './lib.mjs';

const [base, token] = process.argv.slice(2);
if (!base || !token) {
  console.error('usage: node forms.mjs BASE_URL ADMIN_TOKEN');
  process.exit(2);
}
const WAIT_MS = 40_000;

// What the file is called, what the field `key` says (nothing is no such field), and the key that it must get.
const FORMS = [
  ['film.mp4', undefined, 'film.mp4'],
  ['фильм – серия 1.mp4', undefined, 'фильм – серия 1.mp4'],
  ['日本語 🎬.webm', '', '日本語 🎬.webm'],
  ['der "große" Film; x=y.mp4', undefined, 'der "große" Film; x=y.mp4'],
  ["it's 100% & more+.mp4", undefined, "it's 100% & more+.mp4"],
  ['film.mp4', 'serie/фильм 2.mp4', 'serie/фильм 2.mp4'],
  ['e\u0301.mp4', undefined, 'e\u0301.mp4'],
];

const keyPath = key => key.split('/').map(encodeURIComponent).join('/');

// Fills in a form and sends it, by the button or by a script. Gives what the server answered.
async function send(page, file, key, by) {
  // The pages of the server itself may send no forms; an answer in JSON is a page like any other.
  await page.goto(`${base}/healthz`);
  await page.evaluate(key => {
    const form = document.createElement('form');
    form.action = '/api/videos';
    form.method = 'post';
    form.enctype = 'multipart/form-data';
    if (key !== undefined) {
      form.append(Object.assign(document.createElement('input'), { name: 'key', value: key }));
    }
    form.append(Object.assign(document.createElement('input'), { name: 'file', type: 'file' }));
    form.append(Object.assign(document.createElement('button'), { name: 'button', value: 'pressed' }));
    document.body.replaceChildren(form);
  }, key);
  await page.setInputFiles('input[type=file]', file);
  if (by === 'script') {
    return page.evaluate(async () => {
      const body = new FormData(document.querySelector('form'));
      const answer = await fetch('/api/videos', { method: 'POST', body });
      return { status: answer.status, entry: await answer.json() };
    });
  }
  const [answer] = await Promise.all([page.waitForNavigation({ timeout: WAIT_MS }), page.click('button')]);
  return { status: answer.status(), entry: JSON.parse(await page.evaluate(() => document.body.innerText)) };
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu'],
});
try {
  const context = await browser.newContext({ extraHTTPHeaders: { Authorization: `Bearer ${token}` } });
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT_MS);
  for (const [index, [name, key, want]] of FORMS.entries()) {
    for (const by of ['button', 'script']) {
      await check(`${JSON.stringify(name)} by ${by}`, async () => {
        // Bytes that look like boundaries, and others.
        const bytes = Buffer.concat([Buffer.from('\r\n------WebKitFormBoundary\r\n--\r\n'), Buffer.alloc(100_000, index + 1)]);
        const { status, entry } = await send(page, { name, mimeType: 'video/mp4', buffer: bytes }, key, by);
        assert.equal(status, 201, JSON.stringify(entry));
        assert.equal(entry.key, want);
        const back = await fetch(`${base}/media/${keyPath(want)}`);
        assert.ok(bytes.equals(Buffer.from(await back.arrayBuffer())), 'the bytes are the same');
      });
    }
  }
} finally {
  await browser.close();
}
