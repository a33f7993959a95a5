// Who would sign in at a complete OpenID Provider that others wrote?
//
// Runs any number of `oidc-provider`s, each on a free loopback port with one client, in its certified form: authorization
// code, PKCE, sessions in cookies, consent. Persons sign in with a name and no password at its development pages. Takes
// orders as orders.mjs says:
//
//   start {"redirect_uri": "…", "client_secret": "…" | null, "claims_at_userinfo": false,
//          "people": {"alice": {"name": "…", "groups": […]}}}: answers with `{"issuer": "http://127.0.0.1:PORT"}`
//   people {"people": {…}}: replaces the persons
//   end

import { createServer } from "node:http";
import { Provider } from "oidc-provider";
import { serve } from "./orders.mjs";

const LOOPBACK = "127.0.0.1";
// Its notices about development settings belong on no test's output.
console.info = console.warn = () => {};

async function start(options) {
  let people = options.people;
  const http = createServer();
  await new Promise((resolve) => http.listen(0, LOOPBACK, resolve));
  const issuer = `http://${LOOPBACK}:${http.address().port}`;
  const isPublic = options.client_secret === null;

  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: "cloudanix-jit",
        redirect_uris: [options.redirect_uri],
        response_types: ["code"],
        grant_types: ["authorization_code"],
        ...(isPublic ? { token_endpoint_auth_method: "none" } : { client_secret: options.client_secret }),
      },
    ],
    claims: { openid: ["sub"], profile: ["name", "preferred_username"], groups: ["groups"] },
    conformIdTokenClaims: options.claims_at_userinfo === true,
    cookies: { keys: ["of these tests"] },
    features: { devInteractions: { enabled: true } },
    pkce: { required: () => true, methods: ["S256"] },
    findAccount: async (_, sub) =>
      Object.hasOwn(people, sub) ? { accountId: sub, claims: async () => ({ sub, ...people[sub] }) } : undefined,
  });
  http.on("request", provider.callback());

  const server = {
    people(changed) {
      people = changed.people;
      return {};
    },
    async end() {
      await new Promise((done) => {
        http.close(done);
        http.closeAllConnections();
      });
      return {};
    },
  };
  return [server, { issuer }];
}

await serve(start, ["people", "end"]);
