// Which tokens would a provider that we did not write have given out?
//
// Starts `oauth2-mock-server` on a free loopback port and takes orders as lines of JSON on stdin, one line of
// JSON in reply to each, in order. The first line out is `{"issuer": "http://127.0.0.1:PORT"}`. Closing stdin
// ends the process, so a killed test leaves nothing behind.
//
//   {"do": "mint", "claims": {…}, "expires_in": 300, "header": {…}, "signed_by": "current" | "previous"}
//        a claim that is null is left out; `iss`, `iat`, `nbf` and `exp` can be overridden like any other
//   {"do": "rotate", "algorithm": "ES256", "old_keys": "kept" | "removed"}
//   {"do": "outage", "kind": "none" | "refused" | "silent" | "error"}
//   {"do": "counts"}

import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { OAuth2Issuer, OAuth2Service } from "oauth2-mock-server";

const LOOPBACK = "127.0.0.1";
const counts = { discovery: 0, jwks: 0, other: 0 };
let outage = "none";
let issuerUrl;
let current; // { issuer, service, kid }
let previous;

async function keySet(algorithm, keptKeys) {
  const issuer = new OAuth2Issuer();
  issuer.url = issuerUrl;
  for (const key of keptKeys) await issuer.keys.add(key);
  const { kid } = await issuer.keys.generate(algorithm);
  const service = new OAuth2Service(issuer);
  service.on("beforeWellKnownOpenIdConfiguration", (response) => {
    const algorithms = issuer.keys.toJSON().map((key) => key.alg);
    response.body.id_token_signing_alg_values_supported = [...new Set(algorithms)];
  });
  return { issuer, service, kid };
}

const http = createServer((request, response) => {
  if (request.url === "/.well-known/openid-configuration") counts.discovery += 1;
  else if (request.url === "/jwks") counts.jwks += 1;
  else counts.other += 1;

  if (outage === "silent") return;
  if (outage === "error") {
    response.writeHead(503).end();
    return;
  }
  // A transmitter of security events names its keys in the same members.
  if (request.url === "/.well-known/ssf-configuration") request.url = "/.well-known/openid-configuration";
  current.service.requestHandler(request, response);
});

function listen(port) {
  return new Promise((resolve, reject) => {
    http.once("error", reject);
    http.listen(port, LOOPBACK, () => {
      http.off("error", reject);
      resolve(http.address().port);
    });
  });
}

const orders = {
  async mint({ claims = {}, expires_in = 300, header = {}, signed_by = "current" }) {
    const signer = signed_by === "previous" ? previous : current;
    if (!signer) throw new Error("there is no previous key: rotate first");
    const token = await signer.issuer.buildToken({
      kid: signer.kid,
      expiresIn: expires_in,
      scopesOrTransform: (signedHeader, payload) => {
        Object.assign(signedHeader, header);
        Object.assign(payload, claims);
        for (const [name, value] of Object.entries(claims)) if (value === null) delete payload[name];
      },
    });
    return { token };
  },

  async rotate({ algorithm = "RS256", old_keys = "kept" }) {
    previous = current;
    current = await keySet(algorithm, old_keys === "kept" ? current.issuer.keys.toJSON(true) : []);
    return { kid: current.kid };
  },

  async outage({ kind }) {
    if (!["none", "refused", "silent", "error"].includes(kind)) throw new Error(`no such outage: ${kind}`);
    const port = Number(new URL(issuerUrl).port);
    const wasListening = http.listening;
    outage = kind;
    // Connections from before the change would go on answering in the old way.
    if (kind === "refused" && wasListening) await new Promise((done) => { http.close(done); http.closeAllConnections(); });
    else http.closeAllConnections();
    if (kind !== "refused" && !wasListening) await listen(port);
    return {};
  },

  async counts() {
    return counts;
  },
};

async function obey(line) {
  try {
    const order = JSON.parse(line);
    const action = Object.hasOwn(orders, order.do) ? orders[order.do] : undefined;
    if (!action) throw new Error(`no such order: ${order.do}`);
    return await action(order);
  } catch (error) {
    return { error: error.message };
  }
}

const reply = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);

issuerUrl = `http://${LOOPBACK}:${await listen(0)}`;
current = await keySet("RS256", []);
reply({ issuer: issuerUrl });
for await (const line of createInterface({ input: process.stdin })) reply(await obey(line));
process.exit(0);
