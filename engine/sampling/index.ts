/** From logits to a drawn token: the parameters of a generation, and the sampler of one choice. */

export { generationConfig, type GenerationConfig, type GenerationOptions } from "./generation-config.js";
export { Sampler } from "./sampler.js";
