// Owns dark and light: what the system prefers, unless this browser was told otherwise.
// No module, so that the first paint has the right colours already.
"use strict";

(() => {
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;

  function chosen() {
    try {
      return localStorage.getItem("kevmond.theme");
    } catch {
      return null; // storage may be closed to us; the system's wish then stands
    }
  }

  function apply() {
    root.dataset.theme = chosen() ?? (system.matches ? "dark" : "light");
  }

  function toggle() {
    const wanted = root.dataset.theme === "dark" ? "light" : "dark";
    const same = wanted === (system.matches ? "dark" : "light");
    try {
      if (same) localStorage.removeItem("kevmond.theme");
      else localStorage.setItem("kevmond.theme", wanted);
    } catch {
      // Not kept: it holds for this page.
    }
    root.dataset.theme = wanted;
  }

  system.addEventListener("change", apply);
  document.addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme").addEventListener("click", toggle);
  });
  apply();
})();
