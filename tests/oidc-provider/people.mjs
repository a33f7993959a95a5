// Who would sign in at a complete OpenID Provider that others wrote?
//
// Starts `oidc-provider` on a free loopback port with one client, in its certified form: authorization code, PKCE,
// sessions in cookies, consent. Persons sign in with a name and no password at its development pages. Takes one line of
// JSON on stdin, `{"redirect_uri": "…", "client_secret": "…" | null, "people": {"alice": {"name": "…", "groups": […]}}}`,
// and answers with `{"issuer": "http://127.0.0.1:PORT"}`. Further lines replace `people`. Closing stdin ends the process.

import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { Provider } from "oidc-provider";

const LOOPBACK = "127.0.0.1";
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const reply = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);
// Its notices about development settings belong on no test's output.
console.info = console.warn = () => {};

const first = JSON.parse((await lines.next()).value);
let people = first.people;

const http = createServer();
await new Promise((resolve) => http.listen(0, LOOPBACK, resolve));
const issuer = `http://${LOOPBACK}:${http.address().port}`;
const isPublic = first.client_secret === null;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "cloudanix-jit",
      redirect_uris: [first.redirect_uri],
      response_types: ["code"],
      grant_types: ["authorization_code"],
      ...(isPublic ? { token_endpoint_auth_method: "none" } : { client_secret: first.client_secret }),
    },
  ],
  claims: { openid: ["sub"], profile: ["name", "preferred_username"], groups: ["groups"] },
  conformIdTokenClaims: first.claims_at_userinfo === true,
  cookies: { keys: ["of these tests"] },
  features: { devInteractions: { enabled: true } },
  pkce: { required: () => true, methods: ["S256"] },
  findAccount: async (_, sub) =>
    Object.hasOwn(people, sub) ? { accountId: sub, claims: async () => ({ sub, ...people[sub] }) } : undefined,
});
http.on("request", provider.callback());

reply({ issuer });
for await (const line of lines) {
  people = JSON.parse(line).people;
  reply({});
}
process.exit(0);
