// Would a receiver of Standard Webhooks accept the message?
//
// Starts a receiver on a free loopback port that verifies each message with npm's `standardwebhooks`. Takes one line of
// JSON on stdin, `{"secret": "whsec_…"}`, and answers with `{"url": "http://127.0.0.1:PORT/hook"}`. Each further line
// waits for the next message, which is `{"verified": true, "id": "…", "type": "application/json", "body": "…"}`.
// Closing stdin ends the process.

import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { Webhook } from "standardwebhooks";

const LOOPBACK = "127.0.0.1";
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const reply = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);

const { secret } = JSON.parse((await lines.next()).value);
const webhook = new Webhook(secret);
const messages = [];
let arrived = () => {};

const verified = (body, headers) => {
  try {
    webhook.verify(body, headers);
    return true;
  } catch {
    return false;
  }
};

const http = createServer(async (request, response) => {
  let body = "";
  for await (const part of request.setEncoding("utf8")) body += part;
  const { "webhook-id": id, "content-type": type } = request.headers;
  messages.push({ verified: verified(body, request.headers), id, type, body });
  arrived();
  response.writeHead(204).end();
});
await new Promise((resolve) => http.listen(0, LOOPBACK, resolve));
reply({ url: `http://${LOOPBACK}:${http.address().port}/hook` });
for await (const _ of lines) {
  while (messages.length === 0) await new Promise((resolve) => (arrived = resolve));
  reply(messages.shift());
}
process.exit(0);
