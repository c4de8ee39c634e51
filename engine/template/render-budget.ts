/**
 * Bounds the work, the memory and the depth of a rendering, because a template comes with a model and can be hostile.
 * The bounds grow with the messages, so that a long chat is rendered.
 */

import { Budget } from "../budget.js";
import { LIMITS } from "../limits.js";

export class RenderBudget {
  readonly #steps: Budget;
  readonly #maxCharacters: number;
  readonly #maxPromptCharacters: number;
  #numCharacters = 0;
  #depth = 0;

  private constructor(
    maxSteps: number,
    maxCharacters: number,
    maxPromptCharacters: number,
    isCanceled?: () => boolean,
  ) {
    this.#steps = new Budget(maxSteps, () => new RangeError(`it takes more than ${maxSteps} steps`), isCanceled);
    this.#maxCharacters = maxCharacters;
    this.#maxPromptCharacters = maxPromptCharacters;
  }

  /**
   * @param length UTF-16 code units of the messages
   * @param isCanceled returns true once the prompt is no longer needed
   */
  static forMessages(length: number, isCanceled?: () => boolean): RenderBudget {
    return new RenderBudget(
      LIMITS.minRenderSteps + LIMITS.renderStepsPerCharacter * length,
      LIMITS.minRenderCharacters + LIMITS.renderCharactersPerCharacter * length,
      LIMITS.minPromptCharacters + LIMITS.promptCharactersPerCharacter * length,
      isCanceled,
    );
  }

  /** Returns the budget for the renderings that show which tokens a template writes. */
  static forSamples(): RenderBudget {
    return new RenderBudget(LIMITS.sampleRenderSteps, LIMITS.sampleRenderCharacters, LIMITS.minPromptCharacters);
  }

  /** Returns the budget for one more such rendering, so that it adds little to the time in which a model is loaded. */
  static forOneSample(): RenderBudget {
    const { sampleRenderSteps, sampleRenderCharacters, minPromptCharacters } = LIMITS;
    return new RenderBudget(sampleRenderSteps / 8, sampleRenderCharacters / 8, minPromptCharacters);
  }

  /** Counts steps of the template; reading a text costs one for sixteen characters. */
  spend(numSteps = 1): void {
    this.#steps.spend(numSteps);
  }

  /** Counts the characters of a text before it is created. A budget is for all texts, because a template can keep them. */
  allocate(numCharacters: number): void {
    this.#count(numCharacters);
    if (numCharacters > LIMITS.maxRenderedTextCharacters)
      throw new RangeError(`it creates a text of more than ${LIMITS.maxRenderedTextCharacters} characters`);
  }

  #count(numCharacters: number): void {
    this.#numCharacters += numCharacters;
    if (this.#numCharacters > this.#maxCharacters)
      throw new RangeError(`it creates texts and lists of more than ${this.#maxCharacters} characters in total`);
    this.#steps.spend(1 + numCharacters / CHARACTERS_PER_STEP);
  }

  /** Bounds the length of the whole prompt, because the tokenizer's work grows with it. */
  checkPrompt(numCharacters: number): void {
    if (numCharacters <= this.#maxPromptCharacters) return;
    throw new RangeError(
      `its prompt has ${numCharacters} characters; at most ${this.#maxPromptCharacters} are allowed`,
    );
  }

  /** Counts the items of a list before it is created. */
  allocateItems(numItems: number): void {
    this.#count(numItems * CHARACTERS_PER_ITEM);
  }

  /** Counts the texts of a list that is created by dividing a text. */
  allocateTexts(numTexts: number): void {
    this.#count(numTexts * CHARACTERS_PER_TEXT);
  }

  /** Counts a search for a text of `length` in one of `searched`, which can take the product of both. */
  search(searched: number, length: number): void {
    this.#steps.spend(1 + (searched * (1 + Math.max(0, length - SHORT_SEARCH) / 8)) / CHARACTERS_PER_STEP);
  }

  /** Runs a part of the template, or of a value, that is inside another one. */
  nested<T>(run: () => T): T {
    this.enter();
    const result = run();
    this.leave();
    return result;
  }

  /** Begins such a part. `leave` ends it, except after an exception, which ends the rendering. */
  enter(): void {
    if (++this.#depth > LIMITS.maxRenderDepth)
      throw new RangeError(`it nests calls, blocks or values more than ${LIMITS.maxRenderDepth} deep`);
  }

  leave(): void {
    this.#depth--;
  }
}

const CHARACTERS_PER_STEP = 16;
/** An item of a list takes eight bytes; a text that is cut from a message, an object with two views. */
const CHARACTERS_PER_ITEM = 8;
const CHARACTERS_PER_TEXT = 96;
/** Length of a text that is found in linear time. */
const SHORT_SEARCH = 64;
