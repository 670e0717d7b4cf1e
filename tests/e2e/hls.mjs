// HLS in a real browser, with a playback token in the path.
//
//   node hls.mjs BASE_URL TOKEN
//
// The server at BASE_URL must hold samples/hls as `hls/` and need playback tokens; TOKEN opens `hls/`. Prints a line for each check; the
// first that fails ends the run with status 1. CHROMIUM names the browser, if it is not /usr/bin/chromium. Chromium plays HLS by
// itself, so the page is nothing but a video element. Nothing here sleeps: each wait is for a condition, with a limit.
import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';
import { check } from './lib.mjs';

const [base, token] = process.argv.slice(2);
if (!base || !token) {
  console.error('usage: node hls.mjs BASE_URL TOKEN');
  process.exit(2);
}
const PARTS = ['main.m3u8', '270p/list.m3u8', '270p/init.mp4', ...[0, 1, 2, 3, 4].map(part => `270p/part-${part}.m4s`)];
const SECONDS = 30;
const WAIT_MS = 40_000;

// Plays what is at this path from its start to its end, at sixteen times its speed. Says how it ended, and what was shown.
function play(page, path) {
  return page.evaluate(async ([path, limit]) => {
    const video = document.createElement('video');
    video.muted = true;
    document.body.replaceChildren(video);
    const ended = new Promise(resolve => {
      video.onended = () => resolve('ended');
      video.onerror = () => resolve(`error ${video.error.code}`);
      setTimeout(() => resolve('time out'), limit);
    });
    video.src = path;
    video.playbackRate = 16;
    video.play().catch(() => {});
    const how = await ended;
    const { totalVideoFrames } = video.getVideoPlaybackQuality();
    return { how, time: video.currentTime, width: video.videoWidth, frames: totalVideoFrames };
  }, [path, WAIT_MS]);
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
  args: ['--no-sandbox', '--autoplay-policy=no-user-gesture-required'],
});
let failed = false;
try {
  const page = await browser.newPage();
  // What was answered, by path: the statuses.
  const answered = new Map();
  const referrers = [];
  const errors = [];
  const foreign = [];
  page.on('console', message => { if (message.type() === 'error') errors.push(message.text()); });
  page.on('pageerror', error => errors.push(String(error)));
  page.on('request', request => {
    if (new URL(request.url()).origin !== new URL(base).origin) foreign.push(request.url());
  });
  page.on('response', response => {
    const { pathname } = new URL(response.url());
    answered.set(pathname, [...(answered.get(pathname) ?? []), response.status()]);
    const { referer } = response.request().headers();
    if (referer) referrers.push(referer);
  });
  // Pages are open; this one is only the place where the video stands.
  await page.goto(`${base}/`);
  await page.waitForSelector('#notice input');
  // It was told that it needs a token.
  assert.ok(errors.splice(0).every(text => /status of 401/.test(text)));

  await check('the browser plays HLS by itself', async () => {
    assert.notEqual(await page.evaluate(() => document.createElement('video').canPlayType('application/vnd.apple.mpegurl')), '');
  });
  await check('playlists and all parts play under /media/~token/', async () => {
    const seen = await play(page, `/media/~${token}/hls/main.m3u8`);
    assert.equal(seen.how, 'ended', JSON.stringify(seen));
    assert.ok(Math.abs(seen.time - SECONDS) < 0.5 && seen.width === 480 && seen.frames > 0, JSON.stringify(seen));
    for (const part of PARTS) {
      const statuses = answered.get(`/media/~${token}/hls/${part}`) ?? [];
      assert.ok(statuses.some(status => status === 200 || status === 206), `${part}: ${statuses}`);
    }
  });
  await check('the player page plays it with a token from its address', async () => {
    await page.goto(`${base}/watch/hls/main.m3u8?token=${token}`);
    await page.waitForFunction(() => document.querySelector('video').readyState >= 2, null, { timeout: WAIT_MS });
    assert.equal(await page.evaluate(() => document.querySelector('video').getAttribute('src')), `/media/~${token}/hls/main.m3u8`);
    await page.evaluate(() => {
      const video = document.querySelector('video');
      video.muted = true;
      video.currentTime = 20;
      return video.play();
    });
    await page.waitForFunction(() => document.querySelector('video').currentTime > 21, null, { timeout: WAIT_MS });
    await page.evaluate(() => { document.querySelector('video').currentTime = 3; });
    await page.waitForFunction(() => {
      const { currentTime } = document.querySelector('video');
      return currentTime > 4 && currentTime < 20;
    }, null, { timeout: WAIT_MS });
    assert.equal(page.url(), `${base}/watch/hls/main.m3u8`);
  });
  await check('no console error', () => assert.deepEqual(errors, []));
  await check('the same without the token, or with another, is refused', async () => {
    for (const path of ['/media/hls/main.m3u8', `/media/~${token}x/hls/main.m3u8`]) {
      answered.clear();
      const seen = await play(page, path);
      assert.equal(seen.how, 'error 4', `${path}: ${JSON.stringify(seen)}`);
      assert.ok(answered.get(path)?.every(status => status === 401), `${path}: ${answered.get(path)}`);
    }
  });
  await check('every file is refused by itself', async () => {
    const statuses = await page.evaluate(async parts => {
      const answers = await Promise.all(parts.map(part => fetch(`/media/hls/${part}`)));
      return answers.map(answer => answer.status);
    }, PARTS);
    assert.deepEqual(statuses, PARTS.map(() => 401));
  });
  await check('nothing was asked of another origin', () => assert.deepEqual(foreign, []));
  await check('no request told where it came from', () => assert.deepEqual(referrers, []));
} catch (error) {
  console.error(error);
  failed = true;
} finally {
  await browser.close();
}
process.exit(failed ? 1 : 0);
