// Verifies a token with npm's `jose`, independently of the broker's code. Reads the issuer's URL, the audience and the
// token as JSON from stdin; prints {"payload": …, "header": …} or {"refused": "why"}.

import { createRemoteJWKSet, jwtVerify } from "jose";

let text = "";
for await (const chunk of process.stdin) text += chunk;
const { issuer, audience, token } = JSON.parse(text);
const discovery = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json();
const keys = createRemoteJWKSet(new URL(discovery.jwks_uri));
let answer;
try {
  const { payload, protectedHeader } = await jwtVerify(token, keys, {
    issuer: discovery.issuer,
    audience,
    algorithms: discovery.id_token_signing_alg_values_supported,
    requiredClaims: ["exp", "iat", "sub", "jti"],
  });
  answer = { payload, header: protectedHeader };
} catch (error) {
  answer = { refused: error.code ?? error.message };
}
process.stdout.write(JSON.stringify(answer));
