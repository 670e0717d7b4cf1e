// How long it takes Chromium from naming a film to its first picture, and from a seek to the first picture there.
//
//   node first_frame.mjs TURNS SECONDS NAME=URL...
//
// Each film is SECONDS long and the same. A turn opens each in a browser of its own, with nothing in its cache, in an order that moves on
// with each turn: a bare video element on the page of an error of the same server, or, where the path starts with /watch/, the page itself from its navigation.
// Prints the median of all turns, and the lowest and the highest, in milliseconds.
import { createRequire } from 'node:module';

const { chromium } = createRequire(new URL('../tests/e2e/', import.meta.url))('playwright-core');
const [turns, seconds, ...named] = process.argv.slice(2);
const servers = named.map(pair => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]);
if (!servers.length) {
  console.error('usage: node first_frame.mjs TURNS SECONDS NAME=URL...');
  process.exit(2);
}
const LIMIT_MS = 30_000;
// Parts of the film: forward, far forward, back, and into what may be there already.
const SEEKS = [0.3, 0.9, 0.1, 0.55];

// These run in the page. What they answer is the time at which the picture was shown, less that of the start.
const watch = () => document.addEventListener('loadstart', event => {
  event.target.requestVideoFrameCallback(() => { window.shownAt ??= performance.now(); });
}, true);
const open = address => {
  const video = document.body.appendChild(document.createElement('video'));
  window.from = performance.now();
  [video.muted, video.preload, video.src] = [true, 'auto', address];
};
const frameAfterSeek = ([to, limit]) => new Promise((resolve, reject) => {
  setTimeout(() => reject(new Error(`no picture at ${to} s`)), limit);
  const video = document.querySelector('video');
  const from = performance.now();
  const onFrame = (_, { mediaTime }) => {
    if (Math.abs(mediaTime - to) < 1.5) resolve(performance.now() - from);
    else video.requestVideoFrameCallback(onFrame);
  };
  video.requestVideoFrameCallback(onFrame);
  video.currentTime = to;
});

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--autoplay-policy=no-user-gesture-required'],
});
const measured = new Map(servers.map(([name]) => [name, { first: [], seek: [] }]));
try {
  // The first turn warms caches of the system and of the servers, and does not count.
  for (let turn = 0; turn <= Number(turns); turn += 1) {
    for (let place = 0; place < servers.length; place += 1) {
      const [name, url] = servers[(turn + place) % servers.length];
      const isPage = new URL(url).pathname.startsWith('/watch/');
      const context = await browser.newContext();
      const page = await context.newPage();
      page.setDefaultTimeout(LIMIT_MS);
      await page.addInitScript(watch);
      await page.goto(isPage ? url : new URL('/none', url).href);
      if (!isPage) await page.evaluate(open, url);
      const { first, seek } = measured.get(name);
      const times = [await page.waitForFunction(() => window.shownAt && window.shownAt - (window.from ?? 0)).then(shown => shown.jsonValue())];
      for (const part of SEEKS) times.push(await page.evaluate(frameAfterSeek, [part * Number(seconds), LIMIT_MS]));
      await context.close();
      if (!turn) continue;
      first.push(times[0]);
      seek.push(...times.slice(1));
    }
  }
} finally {
  await browser.close();
}

const told = times => {
  times.sort((one, other) => one - other);
  const at = share => Math.round(times[Math.round(share * (times.length - 1))]);
  return `${at(0.5)} ms (${at(0.25)} to ${at(0.75)} in the middle half; ${at(0)} to ${at(1)} in all, of ${times.length})`;
};
for (const [name, { first, seek }] of measured) {
  console.log(`${name}: first picture ${told(first)}; after a seek ${told(seek)}`);
}
