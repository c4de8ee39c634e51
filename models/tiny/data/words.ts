/** Words to spell: common English ones, made-up ones from syllables, and random letters. */

import type { Random } from "./random.js";

const COMMON = `
able above across action active address adult advice afternoon again airport album alone always amount angel anger animal
answer apple april apron arch area arm army arrow artist aunt autumn avocado award baby back badge bag baker balance ball
balloon banana band bank barn barrel basket bat bath battle beach bean bear beard beauty bed bee beetle bell belt bench berry
bicycle bird birthday biscuit bishop black blanket blood blossom blue boat body bone book boot border bottle bottom bowl box
boy brain branch brave bread breakfast breath brick bridge bright brother brown brush bubble bucket building bull bus bush
butter butterfly button cabbage cabin cable cake calendar camel camera camp candle candy canoe captain car card carpet carrot
castle cat cattle cave ceiling center chain chair chalk champion change chapter cheese cherry chest chicken child chimney
chocolate church circle circus city class clean clear clever cliff climb clock cloud clover coach coast coat coconut coffee
coin cold color comb comet common computer cook cookie copper coral corn corner cotton country cousin cover cow crab cradle
crane cream creature cricket crocodile crown crystal cucumber cup curtain cushion daisy dance danger daughter dawn deer desert
desk diamond dinner dinosaur doctor dog doll dolphin donkey door dragon drawer dream dress drum duck dust eagle ear earth
east easy egg elbow elephant engine engineer evening example eye face factory fairy family famous farm farmer father feather
fence fern ferry field fig finger fire fish flag flame flower flute fog forest fork fountain fox freedom friend frog fruit
funny garden garlic gate ghost giant gift ginger giraffe girl glass globe glove goat gold goose grandmother grape grass
gravity green guitar hair hammer hand happy harbor harvest hat hawk heart heaven helmet hen hero hill history holiday honey
hood horse hospital hotel house hungry hurricane ice idea important insect iron island ivory jacket jam jar jelly jewel journey
judge juice jungle kangaroo kettle key king kitchen kite kitten knee knife knight knot ladder lady lake lamp language lantern
laugh lawyer leaf leather lemon leopard lesson letter lettuce library light lily lime lion lizard lobster lock lucky lunch
machine magic magnet mango map maple marble market mask meadow medal melon memory message metal milk mill minute mirror
mississippi model monkey month moon morning mosquito mother mountain mouse mouth mud museum mushroom music nail name napkin
narrow nature neck needle neighbor nest net night noise noodle north nose notebook number nurse nut oak ocean octopus office
olive onion orange orchestra ostrich otter oven owl oyster page paint palace pancake panda paper parade parrot party path
peach peacock peanut pear pearl pebble pelican pen pencil penguin people pepper piano picture pie pig pigeon pillow pilot pine
pineapple pirate planet plate player pocket poem police pond pony popcorn potato present prince princess problem pumpkin puppy
purple puzzle pyramid queen question quick quiet rabbit radio rain rainbow raven recipe red ribbon rice ring river road robin
robot rocket roof room rooster root rope rose ruby ruler sail sailor salad salmon salt sand sandwich saturn school science
scissors sea season secret seed shadow shark sheep shell ship shirt shoe shop shoulder silver sister skeleton sky sleep slow
small smile smoke snail snake snow soap soccer sock sofa soldier song soup south space spider spinach spoon spring square
squirrel stable stadium star station statue steam stone storm story strawberry stream street string student sugar summer sun
sunflower surprise swan sweater swim sword table tail tailor tea teacher temple tennis tent theater thirsty throne thunder
ticket tiger tomato tomorrow tongue tooth tower town toy train treasure tree triangle truck trumpet tulip tunnel turkey turtle
umbrella uncle under uniform valley vase vegetable victory village violet violin visitor volcano wagon walnut water watermelon
wave weather wedding west whale wheat wheel whisper white window wing winter wisdom wolf wonder wood wool world worm writer
yellow yesterday yogurt young zebra zipper
`;

export const COMMON_WORDS: readonly string[] = COMMON.trim().split(/\s+/);

const ONSETS =
  "b bl br c ch cl cr d dr f fl fr g gl gr h j k kn l m n p ph pl pr qu r s sc sh sk sl sm sn sp st str sw t th tr tw v w wh y z".split(
    " ",
  );
const VOWELS = "a e i o u a e i o u ai ea ee ia ie io oa oo ou y".split(" ");
const CODAS = "b ck d f g l ll m mp n nd ng nt p r rd rn rt s sh ss st t tch tt x".split(" ");
const ENDINGS = "able al ed er est ful ing ion ity ize less ly ment ness ous tion y".split(" ");
const LETTERS = "abcdefghijklmnopqrstuvwxyz";

export function word(random: Random): string {
  const kind = random.float();
  if (kind < 0.4) return random.pick(COMMON_WORDS);
  if (kind < 0.7) return madeUpWord(random);
  if (kind < 0.85)
    return random.pick(COMMON_WORDS).slice(0, random.integer(2, 5)) + random.pick([...CODAS, ...ENDINGS]);
  return Array.from({ length: random.integer(3, 8) }, () => random.pick([...LETTERS])).join("");
}

export function madeUpWord(random: Random): string {
  let result = "";
  for (let syllables = random.pick([1, 2, 2, 3]); syllables > 0; syllables--) {
    result += random.pick(ONSETS) + random.pick(VOWELS) + (random.chance(0.4) ? random.pick(CODAS) : "");
  }
  return (random.chance(0.15) ? result + random.pick(ENDINGS) : result).slice(0, 11);
}
