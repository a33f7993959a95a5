// How would a person's browser sign in at the provider of people.mjs?
//
// `node sign-in.mjs ADDRESS PERSON` opens the address, follows redirects with a cookie jar, and submits the provider's
// forms as this person: to sign in, and to agree.

const [address, person] = process.argv.slice(2);
const jars = new Map();

async function open(url, form) {
  for (let redirects = 0; redirects < 20; redirects++) {
    const jar = jars.get(url.origin) ?? new Map();
    jars.set(url.origin, jar);
    const headers = { cookie: [...jar].map(([name, value]) => `${name}=${value}`).join("; ") };
    const answer = await fetch(url, {
      headers,
      redirect: "manual",
      ...(form === undefined ? {} : { method: "POST", body: new URLSearchParams(form) }),
    });
    for (const cookie of answer.headers.getSetCookie()) {
      const [pair] = cookie.split(";");
      const at = pair.indexOf("=");
      jar.set(pair.slice(0, at), pair.slice(at + 1));
    }
    const location = answer.headers.get("location");
    if (location === null) return { url, status: answer.status, text: await answer.text() };
    [url, form] = [new URL(location, url), undefined];
  }
  throw new Error(`too many redirects, the last to ${url}`);
}

let page = await open(new URL(address));
for (let forms = 0; forms < 3; forms++) {
  const action = /<form[^>]* action="([^"]*)"/.exec(page.text);
  if (action === null) break;
  const prompt = page.text.includes('value="login"') ? "login" : "consent";
  page = await open(new URL(action[1], page.url), { prompt, login: person, password: "any" });
}
if (page.status !== 200) throw new Error(`${page.url} answered ${page.status}: ${page.text}`);
