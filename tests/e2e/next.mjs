// The Next.js example, on an origin of its own, against a vidgate that needs playback tokens.
//
//   node next.mjs NEXT VIDGATE OUT_DIR
//
// VIDGATE holds vidgate-sample.mp4 (30 s) with vidgate-sample.en.vtt, the samples in hls/, and film.mp4, five minutes long, in a store
// that the test can take away; it sends three times as fast as that is played. Orders to the test, as watch.mjs gives them: "stop the store for 3 s", "replace the film". Leaves pictures
// in OUT_DIR. Nothing here sleeps: each wait is for a condition, with a limit.
import assert from 'node:assert/strict';
import { DESKTOP, PHONE, accessible, check, fits, frameAfterSeek, hasData, noErrors, order, play, playsFrom, run, shoot } from './lib.mjs';

const [next, vidgate, outDir] = process.argv.slice(2);
if (!outDir) {
  console.error('usage: node next.mjs NEXT VIDGATE OUT_DIR');
  process.exit(2);
}
const FILM = 'vidgate-sample.mp4';
const SECONDS = 30;
const MIB = 1024 * 1024;

const open = async (page, key) => {
  await page.goto(`${next}/?video=${encodeURIComponent(key)}`);
  await hasData(page);
};
const source = page => page.locator('video').evaluate(video => new URL(video.src)).then(() => page.locator('video').getAttribute('src')).then(src => new URL(src));

// The time that the picture tells: the amber bar along its lower edge is filled in proportion to it (see samples/make.sh). A page may
// read the picture of another origin only where that lets it (crossOrigin).
const pictureTime = page => page.evaluate(seconds => {
  const video = document.querySelector('video');
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  const context = canvas.getContext('2d');
  context.drawImage(video, 0, 0);
  const row = context.getImageData(0, canvas.height - 5, canvas.width, 1).data;
  let filled = 0;
  while (filled < canvas.width && row[filled * 4] > 128) filled += 1;
  return seconds * filled / canvas.width;
}, SECONDS);

async function watching(page) {
  const media = [];
  page.on('response', response => {
    if (response.url().startsWith(`${vidgate}/api/videos/`)) media.push(response);
  });
  await check('it lists what vidgate has', async () => {
    await page.goto(next);
    await page.waitForSelector('a.entry');
    assert.deepEqual(await page.locator('a.entry .name').allTextContents(), ['film.mp4', 'init.mp4', 'list.m3u8', 'main.m3u8', FILM]);
  });
  await accessible(page, 'the list');
  await check('it plays the chosen one from vidgate, with a token and CORS', async () => {
    await page.locator('a.entry', { hasText: FILM }).click();
    await hasData(page);
    assert.equal(await page.locator('video').getAttribute('crossorigin'), 'anonymous');
    const { origin, pathname, searchParams } = await source(page);
    assert.deepEqual([origin, pathname, searchParams.get('chunkSize')], [vidgate, `/api/videos/${FILM}/stream`, String(MIB)]);
    const [answer] = media;
    assert.equal(answer.status(), 206);
    const headers = await answer.allHeaders();
    assert.equal(headers['access-control-allow-origin'], next);
    await play(page);
    await playsFrom(page, 1);
    const sent = await answer.request().allHeaders();
    return `${sent.range} -> ${headers['content-range']}`;
  });
  await check('it seeks forward and back, and the pictures are right', async () => {
    for (const to of [20, 5, 25]) {
      await page.locator('video').evaluate(video => video.pause());
      await frameAfterSeek(page, to);
      const told = await pictureTime(page);
      assert.ok(Math.abs(told - to) < 0.7, `at ${to} s the picture tells ${told} s`);
    }
  });
  await shoot(page, outDir, 'next-watch');
  await accessible(page, 'the page with a video');
  await check('another chunk size opens the video anew, at the same place', async () => {
    await frameAfterSeek(page, 10);
    await play(page);
    media.length = 0;
    await page.getByLabel('512 KiB').check();
    await page.waitForFunction(() => new URL(document.querySelector('video').src).searchParams.get('chunkSize') === '524288');
    await playsFrom(page, 11);
    const asked = media.filter(answer => new URL(answer.url()).searchParams.get('chunkSize') === '524288');
    assert.ok(asked.length > 0 && asked.every(answer => [200, 206].includes(answer.status())), `${asked.length} requests with it`);
    await page.getByLabel('2 MiB').check();
    await page.waitForFunction(() => new URL(document.querySelector('video').src).searchParams.get('chunkSize') === '2097152');
    await playsFrom(page, 12);
  });
  await check('subtitles beside it show, by a token of their own', async () => {
    await page.waitForFunction(() => document.querySelector('video').textTracks.length === 1);
    assert.equal(await page.locator('track').getAttribute('label'), 'English');
    await page.locator('video').evaluate(video => { video.textTracks[0].mode = 'showing'; });
    await frameAfterSeek(page, 7);
    await page.waitForFunction(() => [...(document.querySelector('video').textTracks[0].activeCues ?? [])]
      .some(cue => cue.text === 'The sun climbs.'));
  });
  await check('the token opens this video and nothing else', async () => {
    const url = await source(page);
    const status = async address => (await fetch(address, { headers: { Range: 'bytes=0-0' } })).status;
    assert.equal(await status(url), 206);
    assert.equal(await status(String(url).replace(FILM, 'film.mp4')), 403);
    url.searchParams.delete('token');
    assert.equal(await status(url), 401);
    assert.equal((await fetch(`${next}/api/playback?key=`)).status, 400);
  });
  await check('HLS plays with a token in the path', async () => {
    await open(page, 'hls/main.m3u8');
    const { pathname } = await source(page);
    assert.match(pathname, /^\/media\/~eyJ[^/]+\/hls\/main\.m3u8$/);
    await play(page);
    await playsFrom(page, 1);
    await frameAfterSeek(page, 20);
    await playsFrom(page, 21);
    await frameAfterSeek(page, 3);
    await playsFrom(page, 4);
    assert.equal((await fetch(`${vidgate}/media/hls/main.m3u8`)).status, 401);
  });
  await page.setViewportSize(PHONE);
  await check('it fits a phone', async () => {
    await open(page, FILM);
    await fits(page, 'the page');
    await shoot(page, outDir, 'next-phone', { fullPage: true });
  });
  await page.setViewportSize(DESKTOP);
}

async function trouble(page, seen) {
  await check('it plays on while the store is away for 3 s', async () => {
    await open(page, 'film.mp4');
    await play(page);
    await playsFrom(page, 1);
    await order('stop the store for 3 s');
    const { currentTime } = await page.locator('video').evaluate(({ currentTime }) => ({ currentTime }));
    await playsFrom(page, currentTime + 4);
    assert.equal(await page.locator('[role=alert].fault').count(), 0);
  });
  await check('no console error so far', () => noErrors(seen));
  await check('a film that was replaced while it was paused plays on as the new one', async () => {
    await page.locator('video').evaluate(video => video.pause());
    await order('replace the film');
    await page.locator('video').evaluate(video => {
      video.currentTime = 250;
      video.play().catch(() => {});
    });
    await playsFrom(page, 251);
    assert.equal(await page.locator('[role=alert].fault').count(), 0);
  });
  await check('no console error but that the old version is no more', () => noErrors(seen, /status of 412/));
  await check('a video that is not there says so', async () => {
    await page.goto(`${next}/?video=nothing.mp4`);
    await page.waitForSelector('.fault');
    assert.match(await page.locator('.fault').innerText(), /cannot be opened[\s\S]*Try again/);
    noErrors(seen, /status of 404/);
  });
}

await run(outDir, [next, vidgate], async (page, seen) => {
  await watching(page);
  await check('no console error', () => noErrors(seen));
  await trouble(page, seen);
});
