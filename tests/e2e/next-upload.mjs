// The upload page of the Next.js example, on an origin of its own, by tus-js-client.
//
//   node next-upload.mjs NEXT VIDGATE PORT TOKEN OUT_DIR
//
// VIDGATE takes uploads by TOKEN; the site at NEXT sends browsers to PORT of this machine instead, where this script has a relay. Leaves
// a picture in OUT_DIR. Nothing here sleeps: each wait is for a condition, with a limit.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { accessible, check, noErrors, run, shoot } from './lib.mjs';
import { goingOn, holds, makeFile, openWay } from './way.mjs';

const [next, vidgate, port, token, outDir] = process.argv.slice(2);
if (!outDir) {
  console.error('usage: node next-upload.mjs NEXT VIDGATE PORT TOKEN OUT_DIR');
  process.exit(2);
}
const MIB = 1024 * 1024;
// Less than the page sends in one request.
const LENGTH = 6 * MIB;
const FOLDER = 'films/2026';
const way = await openWay(vidgate, Number(port));
const folder = await mkdtemp(path.join(tmpdir(), 'vidgate-next-'));
const file = (name, length) => makeFile(folder, name, length);

async function start(page, film, secret = token) {
  await page.setInputFiles('input[type=file]', film.path);
  await page.fill('input[name=folder]', FOLDER);
  await page.fill('input[name=token]', secret);
  await page.locator('button[type=submit]').click();
}
const sends = (page, share) => page.waitForFunction(share => document.querySelector('progress')?.position > share, share);
const isDone = (page, film) => page.locator('[role=status] a', { hasText: film.name }).waitFor();
const openPage = async page => {
  await page.goto(`${next}/upload`);
  // The form is the browser's own until the page is alive.
  await page.waitForLoadState('networkidle');
};

await run(outDir, [next, way.origin], async (page, seen) => {
  await check('a wrong token is told', async () => {
    await openPage(page);
    await start(page, await file('first.mp4', 1000), 'not-the-token');
    await page.locator('.fault', { hasText: 'does not take this admin token' }).waitFor();
    noErrors(seen, /status of 401/);
  });
  await check('a film is uploaded, with its progress, paused, and gone on with', async () => {
    const film = await file('фильм – 日本語 🎬.mp4', LENGTH);
    way.crawlFrom = 0.4 * LENGTH;
    const whole = goingOn(page, way);
    await start(page, film);
    await sends(page, 0.3);
    await way.crawling();
    await shoot(page, outDir, 'next-upload');
    await page.getByText('Pause').click();
    await page.locator('p', { hasText: /^Paused at/ }).waitFor();
    // What had not come through is lost.
    way.cut();
    way.crawlFrom = Infinity;
    await accessible(page, 'an upload under way');
    await page.getByText('Go on').click();
    await isDone(page, film);
    await holds(vidgate, `${FOLDER}/${film.name}`, film);
    return whole(film);
  });
  await check('no console error', () => noErrors(seen));
  await check('a connection that is cut is taken up by itself', async () => {
    const film = await file('cut.mp4', LENGTH);
    way.rate = 4 * MIB;
    const whole = goingOn(page, way);
    way.cutAt = [0.2 * LENGTH, 0.6 * LENGTH];
    await openPage(page);
    await start(page, film);
    await isDone(page, film);
    assert.deepEqual(way.cutAt, []);
    way.rate = Infinity;
    await holds(vidgate, `${FOLDER}/${film.name}`, film);
    return whole(film);
  });
  await check('no console error but those of the cuts', () => noErrors(seen, /ERR_(CONNECTION|EMPTY|FAILED|NETWORK|SOCKET)|status of 409/));
  await check('a page that is loaded anew goes on with the same file', async () => {
    const film = await file('reloaded.mp4', LENGTH);
    way.crawlFrom = 0.4 * LENGTH;
    const whole = goingOn(page, way);
    await openPage(page);
    await start(page, film);
    await sends(page, 0.3);
    await way.crawling();
    await page.goto('about:blank');
    way.cut();
    way.crawlFrom = Infinity;
    await openPage(page);
    await start(page, film);
    await isDone(page, film);
    await holds(vidgate, `${FOLDER}/${film.name}`, film);
    return whole(film);
  });
  await accessible(page, 'an upload that is done');
  await check('it shows in the list, and is chosen there', async () => {
    await page.locator('[role=status] a').click();
    await page.locator('a.entry[aria-current]', { hasText: 'reloaded.mp4' }).waitFor();
  });
});
way.close();
await rm(folder, { recursive: true });
