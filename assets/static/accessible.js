/* What the theme's HTML leaves out for readers who use a keyboard or a screen reader. */
document.addEventListener("DOMContentLoaded", () => {
  const all = (selector, change) => document.querySelectorAll(selector).forEach(change);
  // the logo is navigation, and stands outside the theme's navigation landmark
  all(".sidebar-primary-items__start .navbar-brand", (logo) => {
    const landmark = document.createElement("nav");
    landmark.setAttribute("aria-label", "Home");
    logo.replaceWith(landmark);
    landmark.append(logo);
  });
  // what scrolls sideways can be reached, and so scrolled, with the keyboard
  const boxes = ".pst-scrollable-table-container, div.cell_output table.dataframe, .bd-content pre";
  const reachable = () =>
    all(boxes, (box) => {
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    });
  reachable();
  addEventListener("load", () => {
    // by now fonts and formulas have their widths
    reachable();
    window.MathJax?.startup?.promise?.then(reachable);
  });
  addEventListener("resize", reachable);
  // the corner of a table heads nothing
  all("article th", (corner) => {
    if (!corner.textContent.trim()) corner.replaceWith(document.createElement("td"));
  });
  // "Show code cell output" is a better name than the label that hides it
  all("summary[aria-label]", (summary) => summary.removeAttribute("aria-label"));
  // doc-biblioentry was taken out of ARIA; the entries are items of a list
  all('.citation[role="doc-biblioentry"]', (entry) => entry.setAttribute("role", "listitem"));
});
