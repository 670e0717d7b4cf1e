// What the scripts here share: a browser that tells what went wrong in it, numbered checks, and orders to the test that started the
// script.
import assert from 'node:assert/strict';
import { mkdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import readline from 'node:readline';
import { chromium } from 'playwright-core';

export const WAIT_MS = 40_000;
export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 390, height: 844 };

let done = 0;
export async function check(what, run) {
  try {
    const detail = await run();
    done += 1;
    console.log(`ok ${done} - ${what}${detail ? ` (${detail})` : ''}`);
  } catch (error) {
    console.log(`FAILED - ${what}`);
    throw error;
  }
}

// Has the test that started this script do something that only it can, and waits until that is done.
let answers;
export async function order(what) {
  answers ??= readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  console.log(`order: ${what}`);
  const { value } = await answers.next();
  assert.equal(value, `done: ${what}`);
}

// Runs `main` with a page of a fresh browser and with what was seen in it: errors on the console, and requests to another origin
// than those of `origins`. The first check that fails ends the script with status 1 and a picture in OUT_DIR/failed.png.
export async function run(outDir, origins, main) {
  await mkdir(outDir, { recursive: true });
  const seen = { errors: [], foreign: [] };
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required'],
  });
  let page;
  try {
    const context = await browser.newContext({ viewport: DESKTOP, colorScheme: 'light', locale: 'en-GB' });
    page = await context.newPage();
    page.setDefaultTimeout(WAIT_MS);
    page.on('console', message => { if (message.type() === 'error') seen.errors.push(`${message.text()} ${message.location().url}`); });
    page.on('pageerror', error => seen.errors.push(String(error)));
    page.on('request', request => {
      const url = new URL(request.url());
      if (/^(https?|wss?|ftp):$/.test(url.protocol) && !origins.includes(url.origin)) seen.foreign.push(request.url());
    });
    await main(page, seen);
    await check('nothing was asked of another origin', () => assert.deepEqual(seen.foreign, []));
    console.log(`all ${done} checks passed`);
  } catch (error) {
    process.exitCode = 1;
    console.log(error && error.stack || String(error));
    if (seen.errors.length) console.log(`console errors: ${seen.errors.join(' | ')}`);
    if (page) await page.screenshot({ path: path.join(outDir, 'failed.png') }).catch(() => {});
  } finally {
    await browser.close();
    process.stdin.destroy();
  }
}

// No error was seen on the console so far; forgets what there was. `allowed` matches those that must come: a browser itself reports
// each answer of 4xx and 5xx.
export function noErrors(seen, allowed = null) {
  const found = seen.errors.splice(0).filter(text => !allowed?.test(text));
  assert.deepEqual(found, []);
}

// axe-core finds nothing serious on the page as it stands (https://www.w3.org/TR/WCAG22/, levels A and AA, and its best practices).
const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
export async function accessible(page, what) {
  await check(`axe finds nothing serious: ${what}`, async () => {
    await page.evaluate(await readFile(AXE, 'utf8'));
    const { violations, passes } = await page.evaluate(() => window.axe.run());
    assert.ok(passes.length > 10, `${passes.length} rules were looked at`);
    const told = violations.map(({ id, impact, nodes }) => `${impact} ${id}: ${nodes.map(node => node.target).join(', ')}`);
    assert.deepEqual(told.filter(text => /^(serious|critical)/.test(text)), []);
    return `${passes.length} rules hold${told.length ? `; not serious: ${told.join('; ')}` : ''}`;
  });
}

// The page is no wider than the window.
export async function fits(page, what) {
  const { content, view } = await page.evaluate(() => ({
    content: document.documentElement.scrollWidth, view: document.documentElement.clientWidth,
  }));
  assert.ok(content <= view, `${what} scrolls sideways: ${content} px in ${view} px`);
}

// A picture of the page from its top, with the focus nowhere.
export async function shoot(page, outDir, name, options = {}) {
  await page.evaluate(() => {
    document.activeElement?.blur();
    scrollTo(0, 0);
  });
  await page.screenshot({ path: path.join(outDir, `${name}.png`), ...options });
}

// --- The video of the page -------------------------------------------------------------------------------------------------

export const hasData = page => page.waitForFunction(() => document.querySelector('video')?.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA);

// Waits until the film plays behind `from` seconds.
export const playsFrom = (page, from) => page.waitForFunction(start => {
  const video = document.querySelector('video');
  return video && !video.paused && video.currentTime > start && video.videoWidth > 0;
}, from);

export const play = page => page.locator('video').evaluate(video => {
  video.muted = true;
  return video.play();
});

// Seeks, and answers how many milliseconds later the first frame from there was shown.
export const frameAfterSeek = (page, to) => page.evaluate(([to, limit]) => new Promise((resolve, reject) => {
  const video = document.querySelector('video');
  setTimeout(() => reject(new Error(`no frame at ${to} s; now at ${video.currentTime} s`)), limit);
  const from = performance.now();
  const onFrame = (now, { mediaTime }) => {
    if (Math.abs(mediaTime - to) > 1.5) video.requestVideoFrameCallback(onFrame);
    else resolve(performance.now() - from);
  };
  video.requestVideoFrameCallback(onFrame);
  video.currentTime = to;
}), [to, WAIT_MS]);
