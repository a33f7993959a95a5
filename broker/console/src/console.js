// Asks for a timeline again whenever something happens to its grant. A page without JavaScript is loaded again by hand.
// Only while the page can be seen: browsers keep six connections to a broker, and an open stream is one of them.
let changes = null;

function watch() {
  const isLive = document.querySelector("#timeline[data-live]") !== null;
  if (document.hidden || !isLive) {
    changes?.close();
    changes = null;
  } else if (changes === null) {
    changes = new EventSource(`${location.pathname}/live`);
    changes.addEventListener("changed", showAgain);
  }
}

async function showAgain() {
  const page = await fetch(location.pathname, { redirect: "manual" });
  if (!page.ok) return;
  const shown = new DOMParser().parseFromString(await page.text(), "text/html").querySelector("#timeline");
  if (shown !== null) document.querySelector("#timeline").replaceWith(shown);
  watch();
}

document.addEventListener("visibilitychange", watch);
watch();
