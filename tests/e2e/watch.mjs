// The player page: what a viewer can do with a film, and what becomes of it when the store fails or the film is replaced.
//
//   node watch.mjs NEAR PLAIN FAR OUT_DIR
//
// Three servers, all open. NEAR holds the folder samples/ and has hls.js; PLAIN holds the same and has it not; FAR holds film.mp4,
// five minutes long, in a store that the test can take away, and sends three times as fast as it is played. Orders to the test, one a
// line on standard output (`order: WHAT`), each answered by `done: WHAT` on standard input: "stop the store for 3 s",
// "stop the store", "start the store", "replace the film". Leaves pictures in OUT_DIR. Nothing here sleeps: each wait is for a
// condition, with a limit.
import assert from 'node:assert/strict';
import {
  DESKTOP, PHONE, accessible, check, fits, frameAfterSeek, hasData, noErrors, order, play, playsFrom, run, shoot,
} from './lib.mjs';

const [near, plain, far, outDir] = process.argv.slice(2);
if (!outDir) {
  console.error('usage: node watch.mjs NEAR PLAIN FAR OUT_DIR');
  process.exit(2);
}
const FILM = 'vidgate-sample.mp4';
const open = async (page, address) => {
  await page.goto(address);
  await hasData(page);
};
const state = page => page.locator('video').evaluate(({ currentTime, playbackRate, paused, muted }) => ({ currentTime, playbackRate, paused, muted }));
// The words of the subtitles that are on the picture now.
const words = page => page.locator('video').evaluate(video => [...video.textTracks].filter(track => track.mode === 'showing')
  .flatMap(track => [...track.activeCues].map(cue => cue.text)));
const shows = (page, text) => page.waitForFunction(text => [...document.querySelector('video').textTracks]
  .some(track => track.mode === 'showing' && [...(track.activeCues ?? [])].some(cue => cue.text === text)), text);

async function subtitles(page) {
  await check('subtitles beside the film are found, and named by their language', async () => {
    await open(page, `${near}/watch/${FILM}`);
    await page.waitForSelector('#subtitles-box:visible');
    await page.waitForFunction(() => document.querySelectorAll('#subtitles option').length === 3);
    assert.deepEqual(await page.locator('#subtitles option').allTextContents(), ['Off', 'Deutsch', 'English']);
    assert.deepEqual(await words(page), []);
  });
  await check('WebVTT is shown', async () => {
    await page.selectOption('#subtitles', { label: 'English' });
    await frameAfterSeek(page, 7);
    await shows(page, 'The sun climbs.');
    await shoot(page, outDir, 'watch-subtitles');
  });
  await check('SubRip is converted and shown', async () => {
    await page.selectOption('#subtitles', { label: 'Deutsch' });
    await shows(page, 'Die Sonne steigt.');
    await frameAfterSeek(page, 2);
    await shows(page, 'Hinter den Hügeln beginnt der Tag.');
  });
  await check('c turns them off and on', async () => {
    await page.evaluate(() => document.activeElement.blur());
    await page.keyboard.press('c');
    assert.deepEqual(await words(page), []);
    assert.equal(await page.inputValue('#subtitles'), '');
    await page.keyboard.press('c');
    await shows(page, 'Hinter den Hügeln beginnt der Tag.');
  });
}

async function controls(page) {
  await check('speed by the list and by the keys', async () => {
    await page.selectOption('#speed', '1.5');
    assert.equal((await state(page)).playbackRate, 1.5);
    await page.evaluate(() => document.activeElement.blur());
    await page.keyboard.press('>');
    assert.equal((await state(page)).playbackRate, 1.75);
    await page.waitForFunction(() => document.querySelector('#speed').value === '1.75');
    for (let press = 0; press < 3; press += 1) await page.keyboard.press('<');
    assert.equal((await state(page)).playbackRate, 1);
  });
  await check('picture in picture, and back', async () => {
    await page.keyboard.press('p');
    await page.waitForFunction(() => document.pictureInPictureElement === document.querySelector('video'));
    await page.keyboard.press('p');
    await page.waitForFunction(() => !document.pictureInPictureElement);
  });
  await check('full screen, and back', async () => {
    await page.keyboard.press('f');
    await page.waitForFunction(() => document.fullscreenElement === document.querySelector('video'));
    await page.keyboard.press('f');
    await page.waitForFunction(() => !document.fullscreenElement);
  });
  await check('the link is that of /url, and good', async () => {
    await page.locator('#link').click();
    await page.waitForFunction(() => document.querySelector('#url').value);
    const url = await page.inputValue('#url');
    const answer = await fetch(`${near}/api/videos/${FILM}/url`).then(answer => answer.json());
    assert.equal(url, new URL(answer.url, near).href);
    assert.match(await page.locator('#until').innerText(), /^A link to this server/);
    const { status } = await fetch(url, { headers: { Range: 'bytes=0-0' } });
    assert.equal(status, 206);
    return url.replace(near, '');
  });
  await check('the download has the name of the film', async () => {
    const [download] = await Promise.all([page.waitForEvent('download'), page.locator('#download').click()]);
    assert.equal(download.suggestedFilename(), FILM);
    await download.cancel();
  });
  await check('the panel says what the stream is doing', async () => {
    await page.locator('#stream summary').click();
    await play(page);
    await page.waitForFunction(() => /State\s*playing/.test(document.querySelector('#stream-facts').innerText)
      && /Finished requests\s*\d+, the last 206/.test(document.querySelector('#stream-facts').innerText));
    const text = await page.locator('#stream-facts').innerText();
    for (const part of [/Loaded ahead\s*\d+\.\d s/, /Received\s*\d.* of 1\.6 MB/, /First picture after\s*\d+ ms/, /Pictures shown\s*\d+, \d+ dropped/,
      /From the server's cache\s*(not used so far|\d+ % of)/, /Version\s*"[^"]+"/]) assert.match(text, part);
    return text.replace(/\n+/g, ' ');
  });
  await shoot(page, outDir, 'watch-desktop', { fullPage: true });
  await accessible(page, 'the player, all of it open');
}

async function shapes(page) {
  await check('a film goes on where it was left, and can be started over', async () => {
    await frameAfterSeek(page, 12);
    await page.locator('video').evaluate(video => video.pause());
    const { currentTime } = await state(page);
    await open(page, `${near}/watch/${FILM}`);
    await page.waitForFunction(() => /Resumed at 0:1\d/.test(document.querySelector('#told').textContent));
    const resumed = await state(page);
    assert.ok(Math.abs(resumed.currentTime - currentTime) <= 1, `left at ${currentTime}, resumed at ${resumed.currentTime}`);
    await shoot(page, outDir, 'watch-resumed');
    await page.locator('#told button').click();
    await page.waitForFunction(() => document.querySelector('video').currentTime === 0);
  });
  await page.emulateMedia({ colorScheme: 'dark' });
  await frameAfterSeek(page, 15);
  await shoot(page, outDir, 'watch-dark');
  await accessible(page, 'the player in the dark');
  await page.setViewportSize(PHONE);
  await check('it fits a phone', async () => {
    await fits(page, 'the player');
    await shoot(page, outDir, 'watch-phone', { fullPage: true });
  });
  await page.setViewportSize(DESKTOP);
  await page.emulateMedia({ colorScheme: 'light' });
}

async function hls(page) {
  const plays = async address => {
    await open(page, address);
    await play(page);
    await frameAfterSeek(page, 20);
    await playsFrom(page, 21);
    await frameAfterSeek(page, 3);
    await playsFrom(page, 4);
    return page.locator('video').evaluate(video => video.src);
  };
  await check("HLS plays by the browser's own player", async () => {
    assert.equal(await plays(`${near}/watch/hls/main.m3u8`), `${near}/media/hls/main.m3u8`);
    assert.equal(await page.evaluate(() => typeof window.Hls), 'undefined');
  });
  const context = page.context();
  const other = await context.newPage();
  const errors = [];
  other.on('console', message => { if (message.type() === 'error') errors.push(message.text()); });
  await other.addInitScript(() => {
    const known = HTMLMediaElement.prototype.canPlayType;
    HTMLMediaElement.prototype.canPlayType = function canPlayType(type) {
      return /mpegurl/i.test(type) ? '' : known.call(this, type);
    };
  });
  const first = page;
  page = other;
  await check('in a browser that knows no HLS, it plays by the hls.js of the server', async () => {
    assert.match(await plays(`${near}/watch/hls/main.m3u8`), /^blob:/);
    return `hls.js ${await page.evaluate(() => window.Hls.version)}`;
  });
  await check('where the server has none, the page says what to do, and asks nobody', async () => {
    await page.goto(`${plain}/watch/hls/main.m3u8`);
    await page.waitForSelector('#notice:visible');
    assert.match(await page.locator('#notice').innerText(), /does not play HLS by itself[\s\S]*VIDGATE_HLS_JS/);
    assert.equal((await fetch(`${plain}/hls.js`)).status, 404);
  });
  page = first;
  await check('no console error in that browser', () => assert.deepEqual(errors, []));
  await other.close();
}

async function trouble(page, seen) {
  const resumes = async () => {
    const text = await fetch(`${far}/metrics`).then(answer => answer.text());
    return Number(/^vidgate_upstream_resumes_total\{outcome="resumed"\} (\d+)$/m.exec(text)[1]);
  };
  await check('a film plays on while its store is away for 3 s', async () => {
    await open(page, `${far}/watch/film.mp4`);
    await play(page);
    await playsFrom(page, 1);
    await order('stop the store for 3 s');
    const { currentTime } = await state(page);
    await playsFrom(page, currentTime + 4);
    assert.ok(await resumes() >= 1, 'the store was never missed');
    assert.equal(await page.locator('#notice').isVisible(), false);
    return `${await resumes()} reads went on`;
  });
  await check('no console error so far', () => noErrors(seen));
  await check('a seek while the store is away is done when it is back', async () => {
    await order('stop the store');
    await page.locator('video').evaluate(video => { video.currentTime = 150; });
    await page.waitForFunction(() => /Trying again/.test(document.querySelector('#told').textContent));
    await order('start the store');
    await playsFrom(page, 151);
    await page.waitForFunction(() => !document.querySelector('#told').textContent);
    assert.equal(await page.locator('#notice').isVisible(), false);
  });
  // A browser reports each answer of 502, and a body that was cut.
  await check('no console error but those of the store', () => noErrors(seen, /status of 50[24]|ERR_CONTENT_LENGTH_MISMATCH|ERR_INCOMPLETE_CHUNKED/));
  await check('a film replaced while it was paused plays on as the new one', async () => {
    await page.locator('video').evaluate(video => video.pause());
    const before = await page.locator('#facts').innerText();
    await order('replace the film');
    await page.locator('video').evaluate(video => {
      video.currentTime = 250;
      video.play().catch(() => {});
    });
    await playsFrom(page, 251);
    assert.notEqual(await page.locator('#facts').innerText(), before);
    assert.equal(await page.locator('#notice').isVisible(), false);
  });
  await check('no console error but that the old version is no more', () => noErrors(seen, /status of 412/));
}

await run(outDir, [near, plain, far].map(base => new URL(base).origin), async (page, seen) => {
  await subtitles(page);
  await controls(page);
  await shapes(page);
  await hls(page);
  await check('no console error', () => noErrors(seen));
  await trouble(page, seen);
});
