// Uploads in the library page: chosen and dropped, paused, broken off, closed in the middle, refused.
//
//   node upload.mjs BASE PLAIN TOKEN OUT_DIR
//
// Two empty servers, both open to viewers: BASE takes uploads of up to 32 MiB by TOKEN, PLAIN takes none. The browser talks to BASE through a relay, which counts, slows down and cuts. Leaves pictures in OUT_DIR. Nothing here
// sleeps: each wait is for a condition, with a limit.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DESKTOP, PHONE, accessible, check, fits, hasData, noErrors, play, playsFrom, run, shoot } from './lib.mjs';
import { goingOn, holds, keyPath, makeFile, openWay } from './way.mjs';

const [base, plain, token, outDir] = process.argv.slice(2);
if (!outDir) {
  console.error('usage: node upload.mjs BASE PLAIN TOKEN OUT_DIR');
  process.exit(2);
}
const MIB = 1024 * 1024;
const SAMPLE = 'vidgate-sample.mp4';
const FOLDER = 'films/2026/';

const way = await openWay(base);
const ORIGIN = way.origin;
const folder = await mkdtemp(path.join(tmpdir(), 'vidgate-upload-'));
const file = (name, length) => makeFile(folder, name, length);
const choose = (page, ...files) => page.setInputFiles('#files', files.map(({ path }) => path));
const row = (page, name) => page.locator('#queue li', { has: page.locator('.name', { hasText: name }) });
const press = (page, name, label) => row(page, name).locator('button', { hasText: label }).click();
const isDone = (page, name) => page.locator('#queue li.done', { hasText: name }).waitFor();
const sends = (page, name, share) => page.waitForFunction(([name, share]) => [...document.querySelectorAll('#queue li.sending')]
  .some(item => item.textContent.includes(name) && item.querySelector('progress').position > share), [name, share]);

const isThere = (key, film) => holds(base, key, film);
const keys = async () => (await (await fetch(`${base}/api/videos?limit=1000`)).json()).videos.map(({ key }) => key);
const begun = page => page.evaluate(() => Object.keys(JSON.parse(localStorage.getItem('vidgate-uploads') ?? '{}')));
async function openPage(page) {
  await page.goto(`${ORIGIN}/?in=${encodeURIComponent(FOLDER)}`);
  await page.locator('#upload').click();
}

// Leaves the page in the middle of an upload, when as much of it came through as shall.
async function leave(page) {
  await way.crawling();
  await page.goto('about:blank');
  way.cut();
  way.crawlFrom = Infinity;
}

// --- The checks ----------------------------------------------------------------------------------------------------------------

async function asking(page, seen) {
  await check('a server that takes no uploads shows nothing of them', async () => {
    const answered = page.waitForResponse(`${plain}/api/uploads`);
    await page.goto(`${plain}/`);
    assert.equal((await (await answered).allHeaders())['tus-version'], undefined);
    await page.locator('#notice', { hasText: 'no videos here yet' }).waitFor();
    assert.equal(await page.locator('#upload').isVisible(), false);
  });
  const film = await file('first.mp4', 100_000);
  await check('it asks for the admin token, and says when it is the wrong one', async () => {
    await openPage(page);
    assert.equal(await page.locator('#drop').isVisible(), false);
    await page.fill('#token-field', 'not-the-token');
    await page.locator('#token button').click();
    await choose(page, film);
    await page.locator('#token-told', { hasText: 'not good' }).waitFor();
    noErrors(seen, /status of 401/);
    await accessible(page, 'the form for the admin token');
    await page.keyboard.type(token);
    await page.keyboard.press('Enter');
    await isDone(page, film.name);
    await isThere(FOLDER + film.name, film);
  });
  await check('the token is kept for the tab only', async () => {
    const kept = await page.evaluate(() => [JSON.stringify(localStorage), document.cookie, location.href, sessionStorage.getItem('vidgate-admin')]);
    assert.ok(kept.slice(0, 3).every(text => !text.includes(token)) && kept[3] === token);
  });
}

async function sending(page) {
  const sample = await readFile(new URL(`../../samples/${SAMPLE}`, import.meta.url));
  const film = { name: 'a film.mp4', path: path.join(folder, 'a film.mp4'), bytes: sample };
  await writeFile(film.path, sample);
  await check('films are chosen, their progress is shown, and they play from their cards', async () => {
    // Browsers count what the system took from them, so it must be more than that.
    const long = await file('A walk by the sea.mp4', 24 * MIB + 1); // two requests
    way.rate = 4 * MIB;
    await openPage(page);
    const others = [film, await file('Übung 1.webm', 40_000)];
    await choose(page, long, ...others);
    await sends(page, long.name, 0.3);
    assert.match(await row(page, long.name).locator('.soft').innerText(), /^\d.* of 25\.2 MB · \d+ % · \d.* [kM]B\/s · 0:\d\d left$/);
    assert.equal(await row(page, film.name).locator('.soft').innerText(), 'Waiting');
    await shoot(page, outDir, 'upload-progress');
    await accessible(page, 'an upload under way');
    await page.emulateMedia({ colorScheme: 'dark' });
    await accessible(page, 'an upload under way in the dark');
    await page.emulateMedia({ colorScheme: 'light' });
    way.rate = Infinity;
    for (const each of [long, ...others]) {
      await isDone(page, each.name);
      await isThere(FOLDER + each.name, each);
    }
    assert.deepEqual(await begun(page), []);
    const cards = await page.locator('#grid a.card').evaluateAll(all => all.map(card => card.title));
    assert.deepEqual(cards, ['A walk by the sea.mp4', film.name, 'first.mp4', 'Übung 1.webm'].map(name => FOLDER + name));
    await page.locator('#grid a.card', { hasText: film.name }).click();
    await hasData(page);
    await play(page);
    await playsFrom(page, 1);
  });
  await check('a film with a name of any language is dropped', async () => {
    await openPage(page);
    const dropped = { name: 'фильм – 日本語 🎬 "1".mp4', bytes: randomBytes(200_000) };
    await page.evaluate(([name, base64]) => {
      const data = new DataTransfer();
      const bytes = Uint8Array.from(atob(base64), char => char.charCodeAt(0));
      data.items.add(new File([bytes], name, { type: 'video/mp4' }));
      for (const type of ['dragover', 'drop']) {
        document.body.dispatchEvent(new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true }));
        if (type === 'dragover' && !document.body.classList.contains('dragged')) throw new Error('the page does not show that it takes files');
      }
    }, [dropped.name, dropped.bytes.toString('base64')]);
    await isDone(page, dropped.name);
    await isThere(FOLDER + dropped.name, dropped);
    const entry = await (await fetch(`${base}/api/videos/${keyPath(FOLDER + dropped.name)}`)).json();
    assert.deepEqual([entry.size, entry.contentType], [dropped.bytes.length, 'video/mp4']);
  });
}

async function breaking(page, seen) {
  await check('paused, nothing is sent; then it goes on where it was', async () => {
    const film = await file('paused.mp4', 12 * MIB);
    way.crawlFrom = 0.4 * film.bytes.length;
    const whole = goingOn(page, way);
    await choose(page, film);
    await sends(page, film.name, 0.3);
    await way.crawling();
    await press(page, film.name, 'Pause');
    await page.locator('#queue li.paused', { hasText: film.name }).waitFor();
    assert.match(await row(page, film.name).locator('.soft').innerText(), /^Paused at \d+ %$/);
    const asked = [];
    const note = request => asked.push(`${request.method()} ${request.url()}`);
    page.on('request', note);
    // What had not come through is lost.
    way.cut();
    way.crawlFrom = Infinity;
    await accessible(page, 'an upload that is paused');
    assert.deepEqual(asked, []);
    page.off('request', note);
    await press(page, film.name, 'Go on');
    await isDone(page, film.name);
    await isThere(FOLDER + film.name, film);
    return whole(film);
  });
  await check('no console error so far', () => noErrors(seen));
  await check('a connection that is cut, four times, is taken up by itself', async () => {
    const film = await file('cut.mp4', 12 * MIB);
    way.rate = 4 * MIB;
    const whole = goingOn(page, way);
    // In the head of its first request, and in three of its bytes.
    way.cutAt = [1, 0.2 * film.bytes.length, 0.5 * film.bytes.length, 0.9 * film.bytes.length];
    await choose(page, film);
    await isDone(page, film.name);
    assert.deepEqual(way.cutAt, []);
    way.rate = Infinity;
    await isThere(FOLDER + film.name, film);
    return whole(film);
  });
  // Chromium sends a request again by itself where a connection that it had used before was cut; by then the server has more: 409.
  await check('no console error but those of the cuts', () => noErrors(seen, /ERR_(CONNECTION|EMPTY|FAILED|NETWORK|SOCKET)|status of 409/));
  await check('a page that is loaded anew goes on with the same file', async () => {
    const film = await file('reloaded – ü.mp4', 12 * MIB);
    way.crawlFrom = 0.4 * film.bytes.length;
    const whole = goingOn(page, way);
    await choose(page, film);
    await sends(page, film.name, 0.3);
    await leave(page);
    await openPage(page);
    await page.locator('#begun li', { hasText: film.name }).waitFor();
    assert.match(await page.locator('#begun').innerText(), /Not finished\. Choose the same file again/);
    await accessible(page, 'an upload that was not finished');
    await choose(page, film);
    await isDone(page, film.name);
    assert.equal(await page.locator('#begun li').count(), 0);
    await isThere(FOLDER + film.name, film);
    return whole(film);
  });
  await check('one that was cancelled, or discarded, leaves nothing', async () => {
    const [one, other] = [await file('cancelled.mp4', 12 * MIB), await file('discarded.mp4', 12 * MIB)];
    const crawl = ({ bytes }) => {
      way.sent = 0;
      way.crawlFrom = 0.2 * bytes.length;
    };
    crawl(one);
    await choose(page, one);
    await sends(page, one.name, 0.1);
    await way.crawling();
    const ended = () => page.waitForResponse(answer => answer.request().method() === 'DELETE');
    await Promise.all([ended(), press(page, one.name, 'Cancel')]);
    way.cut();
    crawl(other);
    await choose(page, other);
    await sends(page, other.name, 0.1);
    await leave(page);
    await openPage(page);
    await Promise.all([ended(), page.locator('#begun li', { hasText: other.name }).locator('button').click()]);
    assert.equal(await page.locator('#uploads li').count(), 0);
    assert.deepEqual(await begun(page), []);
    assert.ok((await keys()).every(key => !/cancelled|discarded/.test(key)));
  });
}

async function refused(page, seen) {
  await check('a name that is taken is told, and replaced only where that is wanted', async () => {
    const old = await file('taken.mp4', 50_000);
    await choose(page, old);
    await isDone(page, old.name);
    const film = await file('taken.mp4', 60_000);
    await choose(page, film);
    await page.locator('#queue li.failed', { hasText: film.name }).waitFor();
    assert.match(await page.locator('#queue li.failed').innerText(), /There is a file of this name already/);
    await isThere(FOLDER + old.name, old);
    noErrors(seen, /status of 412/);
    await shoot(page, outDir, 'upload-taken');
    await page.locator('button', { hasText: 'Replace it' }).click();
    await page.waitForFunction(() => document.querySelectorAll('#queue li.done').length === 2);
    await isThere(FOLDER + film.name, film);
  });
  await check('one that is too large is told, before a byte is sent', async () => {
    const film = await file('too large.mp4', 1);
    await truncate(film.path, 33 * MIB);
    way.sent = 0;
    await choose(page, film);
    await page.locator('#queue li.failed', { hasText: film.name }).waitFor();
    assert.match(await page.locator('#queue li.failed').innerText(), /larger than this server takes/);
    assert.ok(way.sent < 100_000, `${way.sent} bytes were sent`);
    noErrors(seen, /status of 413/);
    await accessible(page, 'an upload that failed');
  });
  await check('an empty file is told', async () => {
    await choose(page, await file('empty.mp4', 0));
    assert.equal(await page.locator('#upload-told').textContent(), 'empty.mp4 is empty, or is a folder.');
  });
  await page.setViewportSize(PHONE);
  await check('it fits a phone', async () => {
    await fits(page, 'the library with uploads');
    await shoot(page, outDir, 'upload-phone');
  });
  await page.setViewportSize(DESKTOP);
}

await run(outDir, [ORIGIN, new URL(plain).origin], async (page, seen) => {
  await asking(page, seen);
  await sending(page);
  await check('no console error', () => noErrors(seen));
  await breaking(page, seen);
  await refused(page, seen);
});
way.close();
await rm(folder, { recursive: true });
