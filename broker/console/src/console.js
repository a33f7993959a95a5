// Refreshes the inbox when the page is looked at again.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && location.pathname === "/console/requests") location.reload();
});
