// Returns the texts that are hard to read: WCAG 2.2, 1.4.3 asks for 4.5 to 1 against what is
// painted behind a text.
() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });

  function over(below, colour) {
    for (const each of [`rgb(${below.join(" ")})`, colour]) {
      canvas.fillStyle = each;
      canvas.fillRect(0, 0, 1, 1);
    }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  }

  function ground(node) {
    const below = node.parentElement ? ground(node.parentElement) : [255, 255, 255];
    return over(below, getComputedStyle(node).backgroundColor);
  }

  function luminance(rgb) {
    const [r, g, b] = rgb
      .map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }

  const faint = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    const text = walker.currentNode.data.trim();
    if (!text || !node.checkVisibility() || node.matches(".unseen, :disabled")) continue;
    const below = ground(node);
    const lights = [luminance(over(below, getComputedStyle(node).color)), luminance(below)];
    const ratio = (Math.max(...lights) + 0.05) / (Math.min(...lights) + 0.05);
    if (ratio < 4.5) faint.add(`${ratio.toFixed(2)} ${node.className} ${text}`);
  }
  return [...faint];
};
