// Asks for a timeline again whenever something happens to its grant. A page without JavaScript is loaded again by hand.
const timeline = document.querySelector("#timeline[data-live]");
if (timeline) {
  const changes = new EventSource(`${location.pathname}/live`);
  changes.addEventListener("changed", async () => {
    const page = await fetch(location.pathname);
    if (!page.ok) return changes.close();
    const shown = new DOMParser().parseFromString(await page.text(), "text/html").querySelector("#timeline");
    document.querySelector("#timeline").replaceWith(shown);
    if (!("live" in shown.dataset)) changes.close();
  });
}
