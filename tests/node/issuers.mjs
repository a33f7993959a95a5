// Which tokens would a provider that we did not write have given out?
//
// Runs any number of providers of `oauth2-mock-server`, each on a free loopback port with keys of its own: one process for
// all tests, because Node takes longer to start than most tests take. Takes orders as orders.mjs says:
//
//   start: answers with `{"issuer": "http://127.0.0.1:PORT"}`
//   mint {"claims": {…}, "expires_in": 300, "header": {…}, "signed_by": "current" | "previous"}
//        a claim that is null is left out; `iss`, `iat`, `nbf` and `exp` can be overridden like any other
//   rotate {"algorithm": "ES256", "old_keys": "kept" | "removed"}
//   outage {"kind": "none" | "refused" | "silent" | "error"}
//   counts, end

import { createServer } from "node:http";
import { OAuth2Issuer, OAuth2Service } from "oauth2-mock-server";
import { serve } from "./orders.mjs";

const LOOPBACK = "127.0.0.1";

class Provider {
  #counts = { discovery: 0, jwks: 0, other: 0 };
  #outage = "none";
  #current; // { issuer, service, kid }
  #previous;
  #http = createServer((request, response) => this.#answer(request, response));

  static async start() {
    const provider = new Provider();
    provider.issuer = `http://${LOOPBACK}:${await provider.#listen(0)}`;
    provider.#current = await provider.#keySet("RS256", []);
    return [provider, { issuer: provider.issuer }];
  }

  async #keySet(algorithm, keptKeys) {
    const issuer = new OAuth2Issuer();
    issuer.url = this.issuer;
    for (const key of keptKeys) await issuer.keys.add(key);
    const { kid } = await issuer.keys.generate(algorithm);
    const service = new OAuth2Service(issuer);
    service.on("beforeWellKnownOpenIdConfiguration", (response) => {
      const algorithms = issuer.keys.toJSON().map((key) => key.alg);
      response.body.id_token_signing_alg_values_supported = [...new Set(algorithms)];
    });
    return { issuer, service, kid };
  }

  #answer(request, response) {
    if (request.url === "/.well-known/openid-configuration") this.#counts.discovery += 1;
    else if (request.url === "/jwks") this.#counts.jwks += 1;
    else this.#counts.other += 1;

    if (this.#outage === "silent") return;
    if (this.#outage === "error") {
      response.writeHead(503).end();
      return;
    }
    // A transmitter of security events names its keys in the same members.
    if (request.url === "/.well-known/ssf-configuration") request.url = "/.well-known/openid-configuration";
    this.#current.service.requestHandler(request, response);
  }

  #listen(port) {
    return new Promise((resolve, reject) => {
      this.#http.once("error", reject);
      this.#http.listen(port, LOOPBACK, () => {
        this.#http.off("error", reject);
        resolve(this.#http.address().port);
      });
    });
  }

  #close() {
    return new Promise((done) => {
      this.#http.close(done);
      this.#http.closeAllConnections();
    });
  }

  async mint({ claims = {}, expires_in = 300, header = {}, signed_by = "current" }) {
    const signer = signed_by === "previous" ? this.#previous : this.#current;
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
  }

  async rotate({ algorithm = "RS256", old_keys = "kept" }) {
    this.#previous = this.#current;
    const kept = old_keys === "kept" ? this.#current.issuer.keys.toJSON(true) : [];
    this.#current = await this.#keySet(algorithm, kept);
    return { kid: this.#current.kid };
  }

  async outage({ kind }) {
    if (!["none", "refused", "silent", "error"].includes(kind)) throw new Error(`no such outage: ${kind}`);
    const wasListening = this.#http.listening;
    this.#outage = kind;
    // Connections from before the change would go on answering in the old way.
    if (kind === "refused" && wasListening) await this.#close();
    else this.#http.closeAllConnections();
    if (kind !== "refused" && !wasListening) await this.#listen(Number(new URL(this.issuer).port));
    return {};
  }

  async counts() {
    return this.#counts;
  }

  async end() {
    if (this.#http.listening) await this.#close();
    return {};
  }
}

await serve(Provider.start, ["mint", "rotate", "outage", "counts", "end"]);
