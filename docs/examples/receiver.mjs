// A partner's receiver for Dateline's pushes. Node.js 18 or newer, no dependency.
//
//     DATELINE_SECRETS=whsec_… node receiver.mjs [PORT]
//
// While a secret is being changed, give both, separated by a blank. A public key (whpk_…) does instead of a secret, if
// your endpoint's pushes carry v1a signatures. `articles` holds the newest revision of every
// story, in memory: put your database in its place.
import { createHmac, createPublicKey, timingSafeEqual, verify } from "node:crypto";
import { createServer } from "node:http";

const CHECKS = process.env.DATELINE_SECRETS.trim().split(/\s+/).map((key) => (key.startsWith("whpk_") ? v1a : v1)(key));
const TOLERANCE_SECONDS = 300;
const BODY_MAX = 8 * 1024 * 1024;

const articles = new Map(); // id → the newest revision's data
const seen = new Set(); // ids of pushes

/** Whether one of the signatures fits one of the keys, lately enough. `body` is the raw bytes. */
function trusted(headers, body) {
  const { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signatures } = headers;
  if (!id || !signatures || !/^\d{1,12}$/.test(timestamp ?? "")) return false;
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > TOLERANCE_SECONDS) return false;
  const signed = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
  return signatures.split(" ").some((each) => CHECKS.some((check) => check(each, signed)));
}

/** The check of a `v1,…` signature: HMAC-SHA256 with the shared secret. */
function v1(secret) {
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  return (signature, signed) => {
    const expected = Buffer.from(`v1,${createHmac("sha256", key).update(signed).digest("base64")}`);
    const given = Buffer.from(signature);
    return given.length === expected.length && timingSafeEqual(given, expected);
  };
}

/** The check of a `v1a,…` signature: ed25519 with our public key. */
function v1a(publicKey) {
  const x = Buffer.from(publicKey.replace(/^whpk_/, ""), "base64").toString("base64url");
  const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  return (signature, signed) =>
    signature.startsWith("v1a,") && verify(null, signed, key, Buffer.from(signature.slice(4), "base64"));
}

/** Keeps the story if this push is new and newer than what is held; safe to run twice. */
function store(id, data) {
  if (seen.has(id)) return "repeat";
  const held = articles.get(data.article);
  const newer = !held || held.revision < data.revision;
  if (newer) articles.set(data.article, data);
  seen.add(id);
  return newer ? "stored" : "stale";
}

function push(headers, body) {
  if (!trusted(headers, body)) return [401, "no signature fits"];
  let data;
  try {
    ({ data } = JSON.parse(body.toString("utf8")));
  } catch {
    return [400, "not JSON"];
  }
  if (typeof data?.article !== "string" || !Number.isInteger(data.revision)) return [400, "not a push"];
  const result = store(headers["webhook-id"], data);
  console.log(`${data.article} r${data.revision} ${data.status}: ${result}`);
  return [200, result];
}

const server = createServer((request, response) => {
  const chunks = [];
  let length = 0;
  request.on("data", (chunk) => {
    length += chunk.length;
    if (length > BODY_MAX) request.destroy();
    else chunks.push(chunk);
  });
  request.on("error", () => {});
  request.on("end", () => {
    const [status, text] = request.method === "POST" ? push(request.headers, Buffer.concat(chunks)) : [405, "POST only"];
    response.writeHead(status, { "Content-Type": "text/plain" }).end(text);
  });
});
server.keepAliveTimeout = 60_000;
server.listen(Number(process.argv[2] ?? 9000), "127.0.0.1", () => {
  console.log(`listening on port ${server.address().port}`);
});
