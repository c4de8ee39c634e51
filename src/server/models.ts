/** Registry of the served models and their aliases. */

import { EngineError } from "../../engine/errors.js";
import { ApiError } from "../openai/index.js";
import type { EngineHost } from "./host.js";

export interface ServedModel {
  readonly id: string;
  readonly host: EngineHost;
}

/** Model name that PPIO's clients request; an alias of the default model unless the name is taken. */
const VENDOR_MODEL = "deepseek/deepseek-r1-turbo";

export class ModelRegistry {
  readonly #byName = new Map<string, ServedModel>();
  readonly #models: readonly ServedModel[];

  /**
   * @param models the served models; the first one is the default
   * @param aliases additional names, each mapped to the id of a model
   * @throws EngineError for a duplicate name, or for an alias whose model is not served
   */
  constructor(models: readonly ServedModel[], aliases: ReadonlyMap<string, string> = new Map()) {
    this.#models = models;
    const names = servedNames(
      models.map(({ id }) => id),
      aliases,
    );
    for (const [name, id] of names)
      this.#byName.set(
        name,
        models.find((model) => model.id === id)!,
      );
  }

  all(): readonly ServedModel[] {
    return this.#models;
  }

  names(): string[] {
    return [...this.#byName.keys()];
  }

  aliasesOf({ id }: ServedModel): string[] {
    return this.names().filter((name) => name !== id && this.#byName.get(name)?.id === id);
  }

  /** @throws ApiError model_not_found */
  find(name: string): ServedModel {
    const model = this.#byName.get(name);
    if (model !== undefined) return model;
    throw new ApiError(
      "model_not_found",
      `The model ${JSON.stringify(name.slice(0, 200))} is not served here. Served: ${this.names().join(", ")}`,
      "model",
    );
  }
}

/**
 * Maps each served name to the id of its model; needs no loaded models.
 *
 * @throws EngineError as the constructor of ModelRegistry does
 */
export function servedNames(
  ids: readonly string[],
  aliases: ReadonlyMap<string, string> = new Map(),
): ReadonlyMap<string, string> {
  const [standard] = ids;
  if (standard === undefined) {
    throw new EngineError("out_of_range", (name) => `${name("models")} must name at least one model.`, "models");
  }
  const idOf = new Map<string, string>();
  const add = (name: string, id: string): void => {
    if (name === "") {
      throw new EngineError("out_of_range", "The name of a model must not be empty.", "models");
    }
    if (idOf.has(name)) {
      throw new EngineError(
        "unsupported_value",
        `Two models are named ${name}. Give one of them another name.`,
        "models",
      );
    }
    idOf.set(name, id);
  };
  for (const id of ids) add(id, id);
  for (const [name, id] of aliases) {
    if (!ids.includes(id)) {
      throw new EngineError(
        "unsupported_value",
        `The alias ${name} refers to ${id}, which is not served. Served: ${ids.join(", ")}`,
        "alias",
      );
    }
    add(name, id);
  }
  if (!idOf.has(VENDOR_MODEL)) add(VENDOR_MODEL, standard);
  return idOf;
}
