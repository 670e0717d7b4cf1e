// Serves the videos of a bucket with Express and the AWS SDK, one process a core: an async generator reads the bucket in chunks
// and a pipeline sends them, so that a viewer who reads slowly stops the reads of the bucket.
//
//   PORT=3000 AWS_BUCKET_NAME=films AWS_ENDPOINT_URL_S3=http://127.0.0.1:9000 node server.mjs
//
// In scope: GET and HEAD, one range, ?chunkSize=, one version of the object for each answer. Not in scope: preconditions, lists.
import cluster from 'node:cluster';
import { Agent } from 'node:http';
import { availableParallelism } from 'node:os';
import { pipeline } from 'node:stream/promises';
import { GetObjectCommand, HeadObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import express from 'express';

const CHUNK_LEN = 1024 * 1024;
const CHUNK_LEN_MIN = 16 * 1024;
const CHUNK_LEN_MAX = 8 * 1024 * 1024;
// What is known of an object is trusted for so long, as vidgate does by default.
const META_TTL_MS = 60_000;
const META_MAX = 10_000;

const bucket = process.env.AWS_BUCKET_NAME;

if (cluster.isPrimary) {
  for (let core = 0; core < availableParallelism(); core += 1) cluster.fork();
  cluster.once('listening', () => console.log(`listening on http://127.0.0.1:${process.env.PORT}`));
} else {
  serve();
}

function serve() {
  const s3 = new S3Client({
    endpoint: process.env.AWS_ENDPOINT_URL_S3,
    region: process.env.AWS_REGION ?? 'us-east-1',
    forcePathStyle: true,
    // Nobody asked for checksums of the bodies, and they would be computed in JavaScript.
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: new NodeHttpHandler({ httpAgent: new Agent({ keepAlive: true, maxSockets: Infinity, maxFreeSockets: 256 }) }),
  });
  const metas = new Map();
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');

  app.get('/api/videos/:key/stream', async (request, response) => {
    const chunkLen = chunkLenOf(request.query.chunkSize);
    if (chunkLen === undefined) return response.status(400).json({ error: { code: 'bad_chunk_size', message: 'not a number of bytes' } });
    const meta = await metaOf(s3, metas, request.params.key);
    if (meta === undefined) return response.status(404).json({ error: { code: 'not_found', message: 'no such video' } });
    const range = rangeOf(request.get('Range'), meta.len);
    response.set({ 'Accept-Ranges': 'bytes', 'Content-Type': meta.type, ETag: meta.etag, 'Last-Modified': meta.modified });
    if (range === 'unsatisfiable') return response.status(416).set('Content-Range', `bytes */${meta.len}`).end();
    const { from, end } = range ?? { from: 0, end: meta.len };
    if (range !== undefined) response.status(206).set('Content-Range', `bytes ${from}-${end - 1}/${meta.len}`);
    response.set('Content-Length', String(end - from));
    if (request.method === 'HEAD') return response.end();

    const gone = new AbortController();
    response.once('close', () => gone.abort());
    try {
      await pipeline(chunks(s3, request.params.key, meta.etag, from, end, chunkLen, gone.signal), response);
    } catch {
      // The viewer left, or the bucket broke off: a short body tells it.
      response.destroy();
    }
  });

  // The viewers of a crowd come all at once.
  app.listen({ port: Number(process.env.PORT), host: '127.0.0.1', backlog: 4096 });
}

async function* chunks(s3, key, etag, from, end, chunkLen, abortSignal) {
  for (let at = from; at < end; at += chunkLen) {
    const last = Math.min(at + chunkLen, end) - 1;
    const command = new GetObjectCommand({ Bucket: bucket, Key: key, Range: `bytes=${at}-${last}`, IfMatch: etag });
    const { Body } = await s3.send(command, { abortSignal });
    yield* Body;
  }
}

/** Length, ETag, type and time of an object; undefined where there is none. */
async function metaOf(s3, metas, key) {
  const known = metas.get(key);
  if (known !== undefined && known.until > Date.now()) return known;
  try {
    const head = await s3.send(new HeadObjectCommand({ Bucket: bucket, Key: key }));
    const meta = {
      len: head.ContentLength,
      etag: head.ETag,
      type: head.ContentType ?? 'application/octet-stream',
      modified: head.LastModified.toUTCString(),
      until: Date.now() + META_TTL_MS,
    };
    if (metas.size >= META_MAX) metas.delete(metas.keys().next().value);
    metas.set(key, meta);
    return meta;
  } catch (error) {
    if (error.$metadata?.httpStatusCode === 404) return undefined;
    throw error;
  }
}

function chunkLenOf(text) {
  if (text === undefined) return CHUNK_LEN;
  if (!/^[0-9]{1,15}$/.test(text)) return undefined;
  return Math.min(Math.max(Number(text), CHUNK_LEN_MIN), CHUNK_LEN_MAX);
}

/** The one range asked for, half-open; undefined where there is none or it is to be ignored (RFC 9110, section 14.2). */
function rangeOf(field, len) {
  const match = /^bytes=([0-9]*)-([0-9]*)$/.exec(field ?? '');
  if (match === null || (match[1] === '' && match[2] === '')) return undefined;
  if (match[1] === '') {
    const suffix = Number(match[2]);
    return suffix === 0 || len === 0 ? 'unsatisfiable' : { from: Math.max(0, len - suffix), end: len };
  }
  const from = Number(match[1]);
  if (match[2] !== '' && Number(match[2]) < from) return undefined;
  if (from >= len) return 'unsatisfiable';
  return { from, end: match[2] === '' ? len : Math.min(Number(match[2]) + 1, len) };
}
