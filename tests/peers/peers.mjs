// The signer of AWS for JavaScript, and jose, as the tests ask them: one JSON document on standard input, one on standard output.
//
// peers.mjs sign: [case, ...] -> [[base URL, [parameter, ...]], ...], each parameter as the signer writes it.
// peers.mjs mint: [{secret, header, claims}, ...] -> [token, ...].
// peers.mjs read: [{secret, token}, ...] -> [[header, claims], ...].

import { readFileSync } from "node:fs";
import { getSignedCookies, getSignedUrl } from "@aws-sdk/cloudfront-signer";
import { SignJWT, jwtVerify } from "jose";

const when = (seconds) => new Date(seconds * 1000).toISOString();

function sign({ url, resource, expires, starts, ip, hash, pem, keyPairId, cookies }) {
  const options = { keyPairId, privateKey: readFileSync(pem, "utf8"), algorithm: hash };
  if (resource === null || resource === url) {
    // It makes the policy itself.
    Object.assign(options, { url, dateLessThan: when(expires) });
    if (starts !== null) options.dateGreaterThan = when(starts);
    if (ip !== null) options.ipAddress = ip;
  } else {
    const condition = { DateLessThan: { "AWS:EpochTime": expires } };
    if (ip !== null) condition.IpAddress = { "AWS:SourceIp": ip.includes("/") ? ip : `${ip}/32` };
    if (starts !== null) condition.DateGreaterThan = { "AWS:EpochTime": starts };
    Object.assign(options, { url, policy: JSON.stringify({ Statement: [{ Resource: resource, Condition: condition }] }) });
  }
  if (cookies) {
    const named = Object.entries(getSignedCookies(options));
    return [url, named.map(([name, value]) => `${name.replace(/^CloudFront-/, "")}=${value}`)];
  }
  const signed = getSignedUrl(options);
  const at = signed.search(/[?&](Expires|Policy)=/);
  return [signed.slice(0, at), signed.slice(at + 1).split("&")];
}

const bytes = (secret) => new TextEncoder().encode(secret);

const mint = ({ secret, header, claims }) => new SignJWT(claims).setProtectedHeader(header).sign(bytes(secret));

async function read({ secret, token }) {
  const { protectedHeader, payload } = await jwtVerify(token, bytes(secret), { algorithms: ["HS256"] });
  return [protectedHeader, payload];
}

const act = { sign, mint, read }[process.argv[2]];
const items = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(await Promise.all(items.map(act))));
