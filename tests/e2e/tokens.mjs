// The pages of a server that is closed to strangers, in a real browser.
//
//   node tokens.mjs BASE_URL ADMIN_TOKEN VIEWER_TOKEN
//
// The server at BASE_URL must hold a film of five minutes as `vidgate-sample.mp4`, need playback tokens, and send about as fast as it
// is played. VIEWER_TOKEN opens the film. Prints a line for each check; the first that fails ends the run
// with status 1. Nothing here sleeps: each wait is for a condition, with a limit.
import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';
import { check } from './lib.mjs';

const [base, admin, viewer] = process.argv.slice(2);
if (!viewer) {
  console.error('usage: node tokens.mjs BASE_URL ADMIN_TOKEN VIEWER_TOKEN');
  process.exit(2);
}
const SAMPLE = 'vidgate-sample.mp4';
const WATCH = `${base}/watch/${SAMPLE}`;
const WAIT = { timeout: 40_000 };

const enter = async (page, token) => {
  await page.waitForSelector('#notice input', WAIT);
  await page.fill('#notice input', token);
  await page.click('#notice button');
};
const source = page => page.evaluate(() => document.querySelector('video').getAttribute('src') || '');
const plays = (page, from) => page.waitForFunction(from => {
  const video = document.querySelector('video');
  return !video.paused && video.currentTime > from + 0.3 && video.videoWidth > 0;
}, from, WAIT);
const seek = (page, to) => page.evaluate(to => {
  const video = document.querySelector('video');
  video.muted = true;
  video.currentTime = to;
  video.play().catch(() => {});
}, to);

// Asks until the answer is that the token is no good any more.
async function hasEnded([url, limit]) {
  const until = performance.now() + limit;
  while ((await fetch(url, { method: 'HEAD', cache: 'no-store' })).status !== 401) {
    if (performance.now() > until) throw new Error('the token has not ended');
    await new Promise(resolve => setTimeout(resolve, 100));
  }
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
  args: ['--no-sandbox', '--autoplay-policy=no-user-gesture-required'],
});
let failed = false;
try {
  const context = await browser.newContext();
  const referrers = [];
  context.on('request', request => {
    const { referer } = request.headers();
    if (referer) referrers.push(referer);
  });
  const page = await context.newPage();

  await check('the library asks for a token, and says when it is the wrong one', async () => {
    await page.goto(`${base}/`);
    await enter(page, 'not-the-token');
    await page.waitForFunction(() => /does not open/.test(document.querySelector('#notice h2')?.textContent), null, WAIT);
    assert.equal(await page.locator('a.card').count(), 0);
  });
  await check('the admin token opens it', async () => {
    await enter(page, admin);
    await page.waitForSelector('a.card', WAIT);
  });
  await check('it is kept for this tab only', async () => {
    await page.reload();
    await page.waitForSelector('a.card', WAIT);
    const other = await context.newPage();
    await other.goto(`${base}/`);
    await other.waitForSelector('#notice input', WAIT);
    await other.close();
  });
  await check('the player buys a token for the film, and never shows the admin token', async () => {
    await page.goto(WATCH);
    await page.waitForFunction(() => document.querySelector('video').readyState >= 1, null, WAIT);
    assert.match(await source(page), /^\/media\/~eyJ/);
    assert.ok(!(await source(page)).includes(admin));
    await seek(page, 0);
    await plays(page, 0);
  });
  await check('a token that has ended is replaced, and the film goes on where it was', async () => {
    await page.route('**/api/tokens', async route => {
      const body = { ...route.request().postDataJSON(), expiresIn: 4 };
      await route.continue({ postData: JSON.stringify(body) });
    });
    await page.goto(WATCH);
    await page.waitForFunction(() => document.querySelector('video').readyState >= 1, null, WAIT);
    await page.evaluate(() => document.querySelector('video').pause());
    const before = await source(page);
    await page.evaluate(hasEnded, [before, WAIT.timeout]);
    await page.unroute('**/api/tokens');
    await seek(page, 250);
    await plays(page, 250);
    assert.notEqual(await source(page), before);
    assert.ok(await page.locator('#notice').isHidden());
  });
  await check('one that is about to end is replaced before', async () => {
    await page.goto(WATCH);
    await page.waitForFunction(() => document.querySelector('video').readyState >= 1, null, WAIT);
    const before = await source(page);
    await seek(page, 3);
    await plays(page, 3);
    assert.equal(await source(page), before, 'not as long as it is good');
    await page.clock.setFixedTime(Date.now() + 56 * 60 * 1000);
    await page.waitForFunction(before => document.querySelector('video').getAttribute('src') !== before, before, WAIT);
    await plays(page, 3);
  });
  await check('a token in the address is taken over and taken off', async () => {
    const guest = await context.newPage();
    await guest.goto(`${WATCH}?token=${viewer}`);
    await guest.waitForFunction(() => document.querySelector('video').readyState >= 1, null, WAIT);
    assert.equal(guest.url(), WATCH);
    assert.equal((await source(guest)).split('?')[0], `/media/~${viewer}/${SAMPLE}`);
    await guest.close();
  });
  await check('no request told where it came from', () => assert.deepEqual(referrers, []));
} catch (error) {
  console.error(error);
  failed = true;
} finally {
  await browser.close();
}
process.exit(failed ? 1 : 0);
