/* Questions that the reader answers before the page does: in every chapter, no kernel needed.

Written as admonitions of class "guess" (one try, then the answer shows) or "quiz" (try until
right, or ask for the answer). Without JavaScript, and in print, all of it is simply there.

A choice. The list holds the options; bold is right; a further paragraph in an option is what is
said of it. What follows the list shows once the question is answered:

    :::{admonition} Guess first
    :class: guess

    Of 100 test digits, how many leave LeNet-5 at its first exit?

    - About 40.
    - **Nearly all.**
    - None.

      The first exit would be useless then.

    It is {glue:text}`share:.1f` %: for MNIST, the first exit is nearly enough.
    :::

A number. "range" says from where to where the slider runs (and its unit); "answer" is the number,
which a cell may have computed; what follows the question's paragraph shows afterwards:

    :::{admonition} Guess first
    :class: guess

    How much less energy does it take? Between [1 and 20 times]{.range}.

    It is [{glue:text}`factor:.1f`]{.answer} times.
    :::
*/
document.documentElement.classList.add("js");

(() => {
  const make = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  };
  const says = (answer, text) => answer.replaceChildren(text);

  /** Everything after a node moves into a box that is hidden until the answer. */
  function hide(node) {
    const rest = make("div", { hidden: "" });
    while (node.nextSibling) rest.append(node.nextSibling);
    return rest;
  }

  function choice(box, list, name) {
    const quiz = box.classList.contains("quiz"),
      rest = hide(list),
      verdict = make("p", { role: "status" });
    const options = [...list.children].map((item, i) => {
      const [first, ...remarks] = item.querySelector("p") ? [...item.children] : [item];
      const right = first.firstElementChild?.tagName === "STRONG";
      if (right) first.firstElementChild.replaceWith(...first.firstElementChild.childNodes);
      const radio = make("input", { type: "radio", name, id: `${name}-${i}` });
      const label = make("label", { for: radio.id }, ...first.childNodes);
      return {
        right,
        radio,
        label,
        remarks,
        row: make("div", { class: "guess-option" }, radio, label),
      };
    });
    const show = make("button", { type: "button", hidden: "" }, "Show the answer");
    const answer = make("button", { type: "submit" }, quiz ? "Check" : "This is my guess");
    const question = [...box.children]
      .filter((node) => node.tagName === "P" && node !== box.firstElementChild)
      .at(-1);
    question.id ||= `${name}-question`;
    const form = make(
      "form",
      { class: "guess-form" },
      make(
        "div",
        { role: "radiogroup", "aria-labelledby": question.id },
        ...options.map(({ row }) => row),
      ),
      make("div", { class: "guess-buttons" }, answer, show),
      verdict,
      rest,
    );
    const reveal = () => {
      rest.hidden = false;
      for (const { row, right } of options) row.classList.toggle("guess-right", right);
      show.hidden = true;
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const chosen = options.find(({ radio }) => radio.checked);
      if (!chosen) return says(verdict, "Choose one first.");
      const { right, remarks } = chosen,
        remark = remarks.map((node) => node.textContent).join(" ");
      says(verdict, `${right ? "Yes." : quiz ? "Not that one." : "Not quite."} ${remark}`.trim());
      if (right || !quiz) reveal();
      else show.hidden = false;
    });
    show.addEventListener("click", () => {
      const right = options.find((option) => option.right);
      says(verdict, `It is: ${right.label.textContent.trim()}`);
      reveal();
    });
    list.replaceWith(form);
  }

  function number(box, range, name) {
    const [, low, high, unit] = range.textContent.match(/(-?[\d.,]+)\D*?(-?[\d.,]+)\s*(.*)/);
    const [min, max] = [low, high].map((text) => Number(text.replaceAll(",", "")));
    const answer = box.querySelector(".answer"),
      truth = Number(answer.textContent.replaceAll(",", ""));
    const fine = 10 ** Math.floor(Math.log10((max - min) / 50)),
      step = Number.isInteger(truth) && max - min >= 10 ? Math.max(1, fine) : fine;
    const digits = Math.max(0, -Math.floor(Math.log10(step))),
      said = (value) => `${value.toFixed(digits)} ${unit}`.trim();
    const question = range.closest("p"),
      rest = hide(question);
    question.id ||= `${name}-question`;
    const slider = make("input", {
      type: "range",
      min,
      max,
      step,
      value: (min + max) / 2,
      "aria-labelledby": question.id,
    });
    const now = make("span", { class: "guess-said", "aria-hidden": "true" }),
      verdict = make("p", { role: "status" });
    const follow = () => {
      now.textContent = said(Number(slider.value));
      slider.setAttribute("aria-valuetext", now.textContent);
    };
    slider.addEventListener("input", follow);
    follow();
    const form = make(
      "form",
      { class: "guess-form" },
      make("div", { class: "guess-slider" }, slider, now),
      make(
        "div",
        { class: "guess-buttons" },
        make("button", { type: "submit" }, "This is my guess"),
      ),
      verdict,
      rest,
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const off = Math.abs(Number(slider.value) - truth) / (max - min);
      const praise =
        off < 0.03
          ? "Well guessed."
          : off < 0.15
            ? "Close."
            : "Far off, and that is why it is asked.";
      says(verdict, `You said ${now.textContent}; it is ${answer.textContent} ${unit}. ${praise}`);
      rest.hidden = false;
    });
    box.append(form);
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("div.admonition:is(.guess, .quiz)").forEach((box, i) => {
      const list = box.querySelector("ul"),
        range = box.querySelector(".range");
      try {
        if (range) number(box, range, `guess-${i}`);
        else choice(box, list, `guess-${i}`);
      } catch (error) {
        // then the question stays as it was written, its answer below
        console.error("[guess]", error);
      }
      box.dataset.ready = "true";
    });
  });
})();
