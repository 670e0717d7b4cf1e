// The library page: what it shows of a full, an empty and a broken store, and of a very large one.
//
//   node library.mjs FILMS EMPTY BROKEN MANY OUT_DIR
//
// Four servers, all open: FILMS holds twelve films, vidgate-sample.mp4 at its root and others in films/city/ and films/nature/; EMPTY nothing;
// BROKEN cannot reach its store; MANY holds 10,000 files in crowd/ and z/the-last.mp4. Prints a line for each
// check and leaves pictures in OUT_DIR. Nothing here sleeps: each wait is for a condition, with a limit.
import assert from 'node:assert/strict';
import { DESKTOP, PHONE, accessible, check, fits, hasData, noErrors, playsFrom, run, shoot } from './lib.mjs';

const [films, empty, broken, many, outDir] = process.argv.slice(2);
if (!outDir) {
  console.error('usage: node library.mjs FILMS EMPTY BROKEN MANY OUT_DIR');
  process.exit(2);
}
const SAMPLE = 'vidgate-sample.mp4';
const cards = page => page.locator('a.card');
const openAt = async (page, address) => {
  await page.goto(address);
  await page.waitForSelector('a.card');
};
const counts = (page, count) => page.waitForFunction(count => document.querySelectorAll('a.card').length === count, count);

async function twelve(page) {
  await check('all twelve films are there, with what is known of them', async () => {
    await openAt(page, `${films}/`);
    assert.equal(await cards(page).count(), 12);
    assert.equal(await page.locator('#count').innerText(), '12 videos');
    const text = await page.locator(`a.card[href="/watch/${SAMPLE}"] .text`).innerText();
    assert.match(text, /MP4 · 1\.6 MB · \d+ \w+ \d{4}/);
    assert.equal(await page.locator('#more').isVisible(), false);
  });
  await shoot(page, outDir, 'library-12');
  await accessible(page, 'the library');
  await check('a folder shows what is in it, and leads back', async () => {
    await page.locator('#folders a', { hasText: 'films' }).click();
    await page.waitForFunction(() => document.querySelector('h1').textContent === 'films');
    await page.waitForSelector('a.card');
    assert.equal(await page.locator('a.card[href^="/watch/films/"]').count(), await cards(page).count());
    await page.locator('#folders a', { hasText: 'city' }).click();
    await page.waitForFunction(() => document.querySelector('h1').textContent === 'city');
    await page.waitForSelector('a.card');
    assert.equal(await page.locator('#trail').innerText(), 'Videos / films /');
    await page.locator('#trail a', { hasText: 'films' }).click();
    await page.waitForFunction(() => document.querySelector('h1').textContent === 'films');
    await page.waitForSelector('a.card');
  });
  await accessible(page, 'a folder');
  await check('a search goes by name and folder', async () => {
    await openAt(page, `${films}/`);
    await page.fill('#search', 'CITY tram');
    await counts(page, 1);
    assert.equal(await page.locator('#count').innerText(), '1 video of 12');
    await page.fill('#search', 'no such film');
    await page.waitForSelector('#notice:visible');
    assert.equal(await cards(page).count(), 0);
    await page.locator('#notice button').click();
    await counts(page, 12);
  });
  let watched;
  await check('the keyboard alone leads from the list to the playing film, and back', async () => {
    await openAt(page, `${films}/`);
    const isThere = key => page.evaluate(href => document.activeElement.getAttribute('href') === href, `/watch/${key}`);
    let presses = 0;
    for (; !await isThere(SAMPLE); presses += 1) {
      assert.ok(presses < 40, 'Tab never came to the film');
      await page.keyboard.press('Tab');
    }
    await page.keyboard.press('Enter');
    await page.waitForURL(`${films}/watch/${SAMPLE}`);
    await hasData(page);
    await page.keyboard.press('Space');
    await playsFrom(page, 1);
    await page.keyboard.press('ArrowRight');
    await playsFrom(page, 6);
    await page.keyboard.press('Space');
    await page.waitForFunction(() => document.querySelector('video').paused);
    watched = await page.evaluate(() => document.querySelector('video').currentTime);
    await page.goBack();
    await page.waitForSelector('a.card');
    return `Tab ${presses} times, Enter, Space`;
  });
  await check('how long a film is, and how far it was watched, shows once it is known', async () => {
    await openAt(page, `${films}/`);
    const known = page.locator(`a.card[href="/watch/${SAMPLE}"]`);
    assert.equal(await known.locator('.badge').textContent(), '0:30');
    const told = /0:30 long, watched up to 0:(\d\d)/.exec(await known.locator('.sr').textContent());
    assert.equal(Number(told?.[1]), Math.floor(watched));
    assert.equal(await page.locator('.badge').count(), 1);
  });
  await page.setViewportSize(PHONE);
  await check('it fits a phone', async () => {
    await openAt(page, `${films}/`);
    await fits(page, 'the library');
    await shoot(page, outDir, 'library-12-phone');
  });
  await page.setViewportSize(DESKTOP);
  await page.emulateMedia({ colorScheme: 'dark' });
  await openAt(page, `${films}/`);
  await shoot(page, outDir, 'library-12-dark');
  await accessible(page, 'the library in the dark');
  await page.emulateMedia({ colorScheme: 'light' });
}

async function nothing(page) {
  await check('an empty store says what to do', async () => {
    await page.goto(`${empty}/`);
    await page.waitForSelector('#notice:visible');
    assert.match(await page.locator('#notice').innerText(), /no videos here yet[\s\S]*AWS_BUCKET_NAME[\s\S]*VIDGATE_DIR[\s\S]*Look again/);
    await shoot(page, outDir, 'library-empty');
  });
  await accessible(page, 'an empty library');
}

async function fault(page) {
  await check('a store that cannot be reached says what to do', async () => {
    await page.goto(`${broken}/`);
    await page.waitForSelector('#notice.bad:visible');
    assert.match(await page.locator('#notice').innerText(), /cannot be loaded[\s\S]*log[\s\S]*Try again/);
    await shoot(page, outDir, 'library-error');
    await page.locator('#notice button').click();
    await page.waitForFunction(() => document.querySelector('#grid').hasAttribute('aria-busy') === false);
    await page.waitForSelector('#notice.bad:visible');
  });
  await accessible(page, 'a library with an error');
}

async function tenThousand(page) {
  const answers = [];
  const note = response => {
    if (new URL(response.url()).pathname === '/api/videos') answers.push(response);
  };
  page.on('response', note);
  await check('of 10,001 films the first hundred are shown', async () => {
    await openAt(page, `${many}/`);
    await counts(page, 100);
    const shownMs = await page.evaluate(() => performance.now());
    await answers[0].finished();
    const { requestStart, responseEnd } = answers[0].request().timing();
    return `list answered in ${(responseEnd - requestStart).toFixed(0)} ms; shown ${shownMs.toFixed(0)} ms after the navigation`;
  });
  await check('a folder behind all of them is found', () => page.locator('#folders a', { hasText: 'z' }).waitFor().then(() => undefined));
  await check('a search finds what was never loaded', async () => {
    await page.fill('#search', 'the-last');
    await counts(page, 1);
    assert.equal(await cards(page).getAttribute('href'), '/watch/z/the-last.mp4');
  });
  await check('it pages through all of them, in hundreds by the cursor', async () => {
    answers.length = 0;
    await openAt(page, `${many}/`);
    for (let count = 200; count <= 10_000; count += 100) {
      await page.locator('#load').click();
      await counts(page, count);
    }
    await page.locator('#load').click();
    await counts(page, 10_001);
    assert.equal(await page.locator('#more').isVisible(), false);
    assert.equal(await page.locator('#count').innerText(), '10,001 videos');
    const pages = answers.filter(answer => new URL(answer.url()).searchParams.get('limit') === '100');
    assert.equal(pages.length, 101);
    const names = await cards(page).evaluateAll(all => all.map(card => card.getAttribute('href')));
    assert.equal(new Set(names).size, 10_001);
    const times = pages.map(answer => answer.request().timing()).map(({ requestStart, responseEnd }) => responseEnd - requestStart);
    times.sort((one, other) => one - other);
    return `answers in ms: median ${times[50].toFixed(0)}, slowest ${times[100].toFixed(0)}`;
  });
  page.off('response', note);
}

await run(outDir, [films, empty, broken, many].map(base => new URL(base).origin), async (page, seen) => {
  await twelve(page);
  await nothing(page);
  await tenThousand(page);
  await check('no console error', () => noErrors(seen));
  await fault(page);
  await check('no console error but that of the store', () => noErrors(seen, /status of 50[24]/));
});
