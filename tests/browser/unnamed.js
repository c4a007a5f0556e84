// Returns what is seen and has no name for those who hear a page.
() => {
  const wanted = "button, input, [role=img], [role=tab], [role=grid], section[role], dialog";

  function named(node) {
    if (node.getAttribute("aria-label") || node.getAttribute("aria-labelledby")) return true;
    return node.labels?.length > 0 || node.innerText?.trim() !== "";
  }

  return [...document.querySelectorAll(wanted)]
    .filter((node) => node.checkVisibility() && !named(node))
    .map((node) => node.outerHTML.slice(0, 80));
};
