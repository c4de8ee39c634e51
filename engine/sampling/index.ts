/** From logits to a drawn token: the parameters of a generation, and the sampler of one choice. */

export { generationConfig, type GenerationConfig, type GenerationOptions } from "./generation-config.js";
export {
  PARAMETER_NAMES,
  parameterIn,
  PARAMETERS,
  type Dialect,
  type Parameter,
  type ParameterKind,
  type ParameterName,
} from "./parameters.js";
export { Sampler } from "./sampler.js";
