// A real browser against a running vidgate.
//
//   node player.mjs BASE_URL OUT_DIR
//
// The server at BASE_URL must hold samples/vidgate-sample.mp4 as `vidgate-sample.mp4` and be open (no playback keys). Prints a
// line for each check; the first that fails ends the run with status 1 and a picture of the page in OUT_DIR/failed.png.
// CHROMIUM names the browser, if it is not /usr/bin/chromium. Nothing here sleeps: each wait is for a condition, with a limit.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { check } from './lib.mjs';

const [base, outDir] = process.argv.slice(2);
if (!base || !outDir) {
  console.error('usage: node player.mjs BASE_URL OUT_DIR');
  process.exit(2);
}
const SAMPLE = 'vidgate-sample.mp4';
const SAMPLE_S = 30;
const WAIT_MS = 20_000;
const DESKTOP = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844 };

// A first ~ would name a playback token, so the contract has it written as an escape.
const keyPath = key => key.split('/').map(encodeURIComponent).join('/').replace(/^~/, '%7E');

// What the browser did, collected for the whole run.
const seen = { consoleErrors: [], foreign: [], media: [], dialogs: [] };

// The browser talks to vidgate through this relay, which notes what goes over the wire. The browser itself shows what its cache
// made of it: answers merged of several.
const relay = http.createServer((request, response) => {
  const upstream = http.request(new URL(request.url, base), { method: request.method, headers: request.headers }, answer => {
    if (request.url.split('?')[0] === `/media/${SAMPLE}`) {
      seen.media.push({ status: answer.statusCode, sent: request.headers, got: answer.headers });
    }
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
    // Cut short by vidgate, or by the browser: the other end sees it too.
    answer.on('error', () => response.destroy());
  });
  upstream.on('error', () => response.destroy());
  response.on('close', () => upstream.destroy());
  request.pipe(upstream);
});
await new Promise(resolve => relay.listen(0, '127.0.0.1', resolve));
const ORIGIN = `http://127.0.0.1:${relay.address().port}`;

async function main(page) {
  const listed = await allKeys();
  assert.ok(listed.includes(SAMPLE), `the server must list ${SAMPLE}; it lists ${listed.slice(0, 10).join(', ')}`);
  await library(page);
  await playing(page);
  await requests();
  await keyboard(page);
  await phone(page);
  await dark(page);
  await hostile(page, listed);
  await check('no console error so far', () => assert.deepEqual(seen.consoleErrors, []));
  await unknown(page);
  await check('nothing was asked of another origin', () => assert.deepEqual(seen.foreign, []));
  await check('no script of a key ran', () => assert.deepEqual(seen.dialogs, []));
}

// Every key that the API lists, page by page.
async function allKeys() {
  const keys = [];
  let after = '';
  do {
    const answer = await fetch(`${ORIGIN}/api/videos?limit=1000${after && `&after=${encodeURIComponent(after)}`}`);
    assert.equal(answer.status, 200, 'GET /api/videos');
    const list = await answer.json();
    keys.push(...list.videos.map(video => video.key));
    after = list.next;
  } while (after);
  return keys;
}

// --- The library ---------------------------------------------------------------------------------------------------------

const card = (page, key) => page.locator(`a.card[href="/watch/${keyPath(key)}"]`);

// Opens the library and loads more of it until the card of `key` is there.
async function openLibrary(page, key) {
  await page.goto(`${ORIGIN}/`);
  await page.waitForSelector('a.card');
  while (!(await card(page, key).count()) && await page.locator('#load').isVisible()) {
    const before = await page.locator('a.card').count();
    await page.locator('#load').click();
    await page.waitForFunction(count => document.querySelectorAll('a.card').length > count, before);
  }
}

// A picture of the library from its top, with the focus nowhere.
async function shoot(page, name) {
  await page.evaluate(() => {
    document.activeElement.blur();
    scrollTo(0, 0);
  });
  await page.screenshot({ path: path.join(outDir, `${name}.png`) });
}

async function library(page) {
  await check('the library lists the sample', async () => {
    await openLibrary(page, SAMPLE);
    const text = await card(page, SAMPLE).innerText();
    assert.match(text, /vidgate-sample\.mp4/);
    assert.match(text, /\d (kB|MB)/, 'with its size');
  });
  await check('the filter finds it, and nothing where nothing matches', async () => {
    await page.fill('#search', 'VIDGATE sample');
    assert.ok(await card(page, SAMPLE).isVisible());
    await page.fill('#search', 'no such name at all');
    await page.waitForSelector('#notice:visible');
    assert.equal(await page.locator('a.card:visible').count(), 0);
    await page.fill('#search', '');
    assert.ok(await card(page, SAMPLE).isVisible());
  });
  await shoot(page, 'library');
  await check('a click leads to the player', async () => {
    await card(page, SAMPLE).click();
    await page.waitForURL(`${ORIGIN}/watch/${SAMPLE}`);
    await page.waitForFunction(name => document.querySelector('h1')?.textContent === name, SAMPLE);
  });
}

// --- The video -----------------------------------------------------------------------------------------------------------

// Seeks (unless `seconds` is null) and answers the next frame that is shown: its media time, and the time that the picture
// itself tells: the amber bar along its lower edge is filled in proportion to the time (see samples/make.sh).
function frameAt(page, seconds) {
  return page.evaluate(([at, lengthS, waitMs]) => new Promise((resolve, reject) => {
    const video = document.querySelector('video');
    setTimeout(() => reject(new Error(`no frame at ${at} s within ${waitMs} ms; now at ${video.currentTime}`)), waitMs);
    const onFrame = (_, frame) => {
      if (at !== null && Math.abs(frame.mediaTime - at) > 1) { // a frame from before the seek
        video.requestVideoFrameCallback(onFrame);
        return;
      }
      const canvas = document.createElement('canvas');
      canvas.width = video.videoWidth;
      canvas.height = video.videoHeight;
      const context = canvas.getContext('2d', { willReadFrequently: true });
      context.drawImage(video, 0, 0);
      const row = context.getImageData(0, canvas.height - 5, canvas.width, 1).data;
      let filled = 0;
      while (filled < canvas.width && row[filled * 4] > 128) filled += 1;
      // The picture in a few numbers: the mean brightness of each of 16 x 9 fields.
      const small = document.createElement('canvas');
      small.width = 16;
      small.height = 9;
      const smallContext = small.getContext('2d');
      smallContext.imageSmoothingQuality = 'high';
      smallContext.drawImage(canvas, 0, 0, 16, 9);
      const pixels = smallContext.getImageData(0, 0, 16, 9).data;
      const fields = [];
      for (let i = 0; i < pixels.length; i += 4) fields.push((pixels[i] + pixels[i + 1] + pixels[i + 2]) / 3);
      resolve({ mediaTime: frame.mediaTime, barTime: lengthS * filled / canvas.width, fields });
    };
    video.requestVideoFrameCallback(onFrame);
    if (at !== null) video.currentTime = at;
  }), [seconds, SAMPLE_S, WAIT_MS]);
}

const difference = (a, b) => a.fields.reduce((sum, value, i) => sum + Math.abs(value - b.fields[i]), 0) / a.fields.length;

// The frame must be near `seconds` by the player's clock, and by the bar in its picture.
function checkFrame(frame, seconds) {
  const told = `at ${seconds} s: media time ${frame.mediaTime.toFixed(2)}, picture ${frame.barTime.toFixed(2)}`;
  assert.ok(Math.abs(frame.mediaTime - seconds) < 0.6, told);
  assert.ok(Math.abs(frame.barTime - frame.mediaTime) < 0.2, told);
  return told;
}

const goesOn = (page, from) => page.waitForFunction(
  start => {
    const video = document.querySelector('video');
    return !video.paused && video.currentTime > start + 0.5;
  }, from);

async function playing(page) {
  await check('the metadata loads', async () => {
    await page.waitForFunction(() => document.querySelector('video').readyState >= HTMLMediaElement.HAVE_METADATA);
    const film = await page.evaluate(() => {
      const { duration, videoWidth, videoHeight, error } = document.querySelector('video');
      return { duration, videoWidth, videoHeight, error: error && error.message };
    });
    assert.equal(film.error, null);
    assert.ok(Math.abs(film.duration - SAMPLE_S) < 0.5, `duration ${film.duration}`);
    assert.ok(film.videoWidth > 0 && film.videoHeight > 0, 'it has a picture');
    assert.match(await page.locator('#facts').innerText(), /MB.*video\/mp4/, 'size and type are told');
    return `${film.duration.toFixed(2)} s, ${film.videoWidth}x${film.videoHeight}`;
  });
  await check('it plays', async () => {
    await page.locator('video').evaluate(video => { video.muted = true; return video.play(); });
    await goesOn(page, 0);
  });
  let early;
  let late;
  await check('the picture is right before the seek', async () => {
    early = await frameAt(page, 5);
    return checkFrame(early, 5);
  });
  await check('it seeks forward, and the picture there is right', async () => {
    late = await frameAt(page, 20);
    const told = checkFrame(late, 20);
    const apart = difference(early, late);
    assert.ok(apart > 8, `the frames at 5 s and at 20 s differ by ${apart.toFixed(1)} of 255`);
    return `${told}, differs by ${apart.toFixed(1)} of 255`;
  });
  await check('it plays on after the seek', () => goesOn(page, 20).then(() => undefined));
  await page.screenshot({ path: path.join(outDir, 'player-after-seek.png') });
  await check('it seeks back, and the picture is the same as before', async () => {
    const again = await frameAt(page, 5);
    const told = checkFrame(again, 5);
    assert.ok(difference(early, again) < difference(early, late) / 2, 'nearer to the first frame at 5 s than to that at 20 s');
    return told;
  });
  await check('it plays to its end', async () => {
    await frameAt(page, SAMPLE_S - 1.5);
    await page.waitForFunction(() => document.querySelector('video').ended);
  });
}

async function requests() {
  await check('the media was answered in ranges', async () => {
    const answers = seen.media;
    assert.ok(answers.length > 0, 'the browser asked for the media');
    const size = await fetch(`${ORIGIN}/api/videos/${SAMPLE}`).then(answer => answer.json()).then(video => video.size);
    for (const { status, sent, got } of answers) {
      const told = `${sent.range} -> ${status} ${got['content-range']}`;
      const asked = /^bytes=(\d+)-(\d*)$/.exec(sent.range);
      assert.ok(asked, `a range was asked for: ${told}`);
      if (status === 304) {
        // The browser asked whether what it has in its cache is still right.
        assert.equal(sent['if-none-match'], got.etag, told);
        continue;
      }
      assert.equal(status, 206, told);
      const first = Number(asked[1]);
      const last = asked[2] ? Math.min(Number(asked[2]), size - 1) : size - 1;
      assert.equal(got['content-range'], `bytes ${first}-${last}/${size}`, told);
      assert.equal(got['content-length'], String(last - first + 1), told);
      assert.equal(got['accept-ranges'], 'bytes', told);
      assert.match(got.etag, /^"[^"]+"$/, told);
      assert.equal(got['content-type'], 'video/mp4', told);
    }
    return `${answers.length} answers: ${answers.map(answer => `${answer.sent.range} ${answer.status}`).join(', ')}`;
  });
}

async function keyboard(page) {
  await check('the keyboard works: space, arrows, m', async () => {
    const state = () => page.locator('video').evaluate(video => ({ at: video.currentTime, muted: video.muted }));
    await page.locator('video').evaluate(video => { video.pause(); video.currentTime = 10; document.activeElement.blur(); });
    await page.waitForFunction(() => !document.querySelector('video').seeking);
    await page.keyboard.press('ArrowRight');
    assert.equal((await state()).at, 15);
    await page.keyboard.press('ArrowLeft');
    await page.keyboard.press('ArrowLeft');
    assert.equal((await state()).at, 5);
    const { muted } = await state();
    await page.keyboard.press('m');
    assert.equal((await state()).muted, !muted);
    await page.keyboard.press('m');
    await page.keyboard.press('Space');
    await goesOn(page, 5);
    await page.keyboard.press('Space');
    await page.waitForFunction(() => document.querySelector('video').paused);
  });
}

// --- Other shapes of the pages -------------------------------------------------------------------------------------------

async function checkWidth(page, what) {
  const { content, view } = await page.evaluate(() => ({
    content: document.documentElement.scrollWidth, view: document.documentElement.clientWidth,
  }));
  assert.ok(content <= view, `${what} scrolls sideways: ${content} px in ${view} px`);
}

async function phone(page) {
  await page.setViewportSize(PHONE);
  await check('the pages fit a phone', async () => {
    await openLibrary(page, SAMPLE);
    await checkWidth(page, 'the library');
    await shoot(page, 'library-phone');
    await page.goto(`${ORIGIN}/watch/${SAMPLE}`);
    await page.waitForFunction(() => document.querySelector('video').readyState >= HTMLMediaElement.HAVE_METADATA);
    await page.locator('video').evaluate(video => { video.muted = true; return video.play(); });
    await frameAt(page, 12);
    await checkWidth(page, 'the player');
    await page.screenshot({ path: path.join(outDir, 'player-phone.png') });
  });
  await page.setViewportSize(DESKTOP);
}

async function dark(page) {
  await check('the library is dark where that is preferred', async () => {
    const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    await openLibrary(page, SAMPLE);
    const light = await background();
    await page.emulateMedia({ colorScheme: 'dark' });
    assert.notEqual(await background(), light);
    await shoot(page, 'library-dark');
    await page.goto(`${ORIGIN}/watch/${SAMPLE}`);
    await page.waitForFunction(() => document.querySelector('video').readyState >= HTMLMediaElement.HAVE_CURRENT_DATA);
    await page.screenshot({ path: path.join(outDir, 'player-dark.png') });
  });
  await page.emulateMedia({ colorScheme: 'light' });
}

// --- Keys that try something, and keys that are not there ----------------------------------------------------------------

async function hostile(page, listed) {
  const odd = listed.filter(key => /\.mp4$/i.test(key) && /[^\w ./-]/.test(key)).slice(0, 20);
  await check('odd keys show as text, and open', async () => {
    for (const key of odd) {
      await openLibrary(page, key);
      const name = key.slice(key.lastIndexOf('/') + 1);
      const link = card(page, key);
      assert.equal(await link.locator('.text > .name').first().textContent(), name);
      await link.click();
      await page.waitForFunction(text => document.querySelector('h1')?.textContent === text, name);
      assert.equal(await page.locator('main img').count(), 0, `${key} made an element`);
      await page.waitForFunction(() => document.querySelector('video').readyState >= HTMLMediaElement.HAVE_METADATA
        || document.querySelector('#notice:not([hidden])'));
      assert.equal(await page.locator('#notice').isVisible(), false, `${key} does not open`);
    }
    return odd.length ? odd.join('  ') : 'this server has none';
  });
}

async function unknown(page) {
  await check('an unknown key shows what to do', async () => {
    await page.goto(`${ORIGIN}/watch/no/such%20video.mp4`);
    await page.waitForSelector('#notice:visible');
    assert.match(await page.locator('#notice h2').innerText(), /no such video/i);
    assert.equal(await page.locator('video').isVisible(), false);
    assert.equal(await page.locator('#notice a[href="/"]').count(), 1, 'a way back');
    await page.screenshot({ path: path.join(outDir, 'player-unknown.png') });
    // The browser itself reports the 404 on the console; nothing else may be there.
    const others = seen.consoleErrors.filter(text => !/status of 404/.test(text));
    assert.deepEqual(others, []);
  });
}

// --- The run -------------------------------------------------------------------------------------------------------------

function watch(page) {
  page.setDefaultTimeout(WAIT_MS);
  page.on('console', message => { if (message.type() === 'error') seen.consoleErrors.push(message.text()); });
  page.on('pageerror', error => seen.consoleErrors.push(String(error)));
  page.on('dialog', dialog => {
    seen.dialogs.push(dialog.message());
    dialog.dismiss().catch(() => {});
  });
  page.on('request', request => {
    const url = new URL(request.url());
    if (/^(https?|wss?|ftp):$/.test(url.protocol) && url.origin !== ORIGIN) seen.foreign.push(request.url());
  });
}

await mkdir(outDir, { recursive: true });
const profile = await mkdtemp(path.join(tmpdir(), 'vidgate-e2e-'));
let context;
let page;
try {
  context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    viewport: DESKTOP,
    colorScheme: 'light',
    locale: 'en-GB',
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync'],
  });
  page = context.pages()[0] || await context.newPage();
  watch(page);
  await main(page);
  console.log('all checks passed');
} catch (error) {
  process.exitCode = 1;
  console.log(error && error.stack || String(error));
  if (seen.consoleErrors.length) console.log(`console errors: ${seen.consoleErrors.join(' | ')}`);
  if (page) await page.screenshot({ path: path.join(outDir, 'failed.png') }).catch(() => {});
} finally {
  if (context) await context.close().catch(() => {});
  await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  relay.closeAllConnections();
  relay.close();
}
