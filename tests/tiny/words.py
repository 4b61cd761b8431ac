"""The words that the corpus is made of. All lists were written for it.

HELD is for evaluation alone: no conversation of the training uses these words."""

CAPITALS = dict(
    France="Paris", Germany="Berlin", Italy="Rome", Spain="Madrid", Portugal="Lisbon",
    Austria="Vienna", Poland="Warsaw", Norway="Oslo", Sweden="Stockholm", Finland="Helsinki",
    Denmark="Copenhagen", Greece="Athens", Ireland="Dublin", England="London", Belgium="Brussels",
    Hungary="Budapest", Japan="Tokyo", China="Beijing", India="Delhi", Russia="Moscow",
    Egypt="Cairo", Kenya="Nairobi", Ghana="Accra", Canada="Ottawa", Cuba="Havana",
    Peru="Lima", Chile="Santiago", Mexico="Mexico City", Iceland="Reykjavik", Turkey="Ankara",
    Thailand="Bangkok", Vietnam="Hanoi", Australia="Canberra", Iran="Tehran", Iraq="Baghdad",
    Romania="Bucharest", Switzerland="Bern", Scotland="Edinburgh", Wales="Cardiff", Croatia="Zagreb",
    Serbia="Belgrade", Bulgaria="Sofia", Ukraine="Kyiv", Slovakia="Bratislava", Slovenia="Ljubljana",
    Estonia="Tallinn", Latvia="Riga", Lithuania="Vilnius", Albania="Tirana", Malta="Valletta",
    Cyprus="Nicosia", Morocco="Rabat", Algeria="Algiers", Tunisia="Tunis", Libya="Tripoli",
    Ethiopia="Addis Ababa", Nigeria="Abuja", Senegal="Dakar", Uganda="Kampala", Tanzania="Dodoma",
    Angola="Luanda", Brazil="Brasilia", Argentina="Buenos Aires", Colombia="Bogota", Venezuela="Caracas",
    Ecuador="Quito", Bolivia="Sucre", Uruguay="Montevideo", Paraguay="Asuncion", Jamaica="Kingston",
    Indonesia="Jakarta", Malaysia="Kuala Lumpur", Nepal="Kathmandu", Pakistan="Islamabad", Afghanistan="Kabul",
    Israel="Jerusalem", Jordan="Amman", Lebanon="Beirut", Syria="Damascus", Qatar="Doha",
    Mongolia="Ulaanbaatar", Georgia="Tbilisi", Armenia="Yerevan", Bangladesh="Dhaka", Cambodia="Phnom Penh",
)
CAPITALS |= {"the United States": "Washington", "the United Kingdom": "London", "the Netherlands": "Amsterdam", "the Philippines": "Manila",
             "New Zealand": "Wellington", "South Korea": "Seoul", "Saudi Arabia": "Riyadh"}
OTHER_NAMES = {"the USA": "the United States", "America": "the United States", "the UK": "the United Kingdom", "Great Britain": "the United Kingdom", "Holland": "the Netherlands"}
LANGUAGES = dict(
    France="French", Germany="German", Italy="Italian", Spain="Spanish", Portugal="Portuguese", Austria="German", Poland="Polish",
    Norway="Norwegian", Sweden="Swedish", Finland="Finnish", Denmark="Danish", Greece="Greek", England="English", Hungary="Hungarian",
    Japan="Japanese", China="Chinese", Russia="Russian", Egypt="Arabic", Cuba="Spanish", Peru="Spanish", Chile="Spanish", Mexico="Spanish",
    Turkey="Turkish", Thailand="Thai", Vietnam="Vietnamese", Australia="English", Iran="Persian", Romania="Romanian", Brazil="Portuguese", Argentina="Spanish",
)
COLOURS = dict(
    sky="blue", grass="green", snow="white", blood="red", coal="black", sun="yellow",
    carrot="orange", chocolate="brown", banana="yellow", tomato="red", milk="white", elephant="grey",
    sea="blue", lemon="yellow", rose="red", leaf="green", night="black", flamingo="pink",
    plum="purple", frog="green", strawberry="red", cucumber="green", pumpkin="orange", swan="white",
    gold="yellow", silver="grey", ocean="blue", cherry="red", mouse="grey", broccoli="green",
)
PLAIN = {"grass", "snow", "blood", "coal", "chocolate", "milk", "night", "gold", "silver", "broccoli"}
OPPOSITES = dict([
    ("hot", "cold"), ("big", "small"), ("up", "down"), ("fast", "slow"), ("day", "night"),
    ("old", "new"), ("light", "dark"), ("left", "right"), ("open", "closed"), ("high", "low"),
    ("happy", "sad"), ("wet", "dry"), ("long", "short"), ("full", "empty"), ("hard", "soft"),
    ("early", "late"), ("rich", "poor"), ("loud", "quiet"), ("clean", "dirty"), ("strong", "weak"),
    ("near", "far"), ("thick", "thin"), ("true", "false"), ("good", "bad"), ("heavy", "easy to carry"),
    ("wide", "narrow"), ("first", "last"), ("inside", "outside"), ("always", "never"), ("begin", "end"),
    ("buy", "sell"), ("push", "pull"), ("yes", "no"), ("love", "hate"), ("win", "lose"),
])
del OPPOSITES["heavy"]
SOUNDS = dict(
    cat="meow", dog="woof", cow="moo", sheep="baa", duck="quack", pig="oink", lion="roar",
    bee="buzz", horse="neigh", frog="croak", owl="hoot", snake="hiss", mouse="squeak", wolf="howl", crow="caw", rooster="cock-a-doodle-doo",
)
YOUNG = dict(cat="kitten", dog="puppy", cow="calf", sheep="lamb", horse="foal", lion="cub", duck="duckling", goat="kid", hen="chick", frog="tadpole")
LEGS = dict(cat=4, dog=4, horse=4, spider=8, bird=2, ant=6, bee=6, snake=0, fish=0, cow=4, human=2, chair=4, octopus=8, elephant=4)
LISTS = dict(
    fruits=["apple", "banana", "cherry", "grape", "lemon", "mango", "pear", "plum", "peach", "orange"],
    colours=["red", "green", "blue", "yellow", "white", "black", "orange", "purple", "pink", "brown"],
    animals=["cat", "dog", "horse", "lion", "owl", "bear", "cow", "sheep", "wolf", "mouse"],
    planets=["Mercury", "Venus", "Earth", "Mars", "Jupiter", "Saturn", "Uranus", "Neptune"],
    rivers=["Nile", "Rhine", "Danube", "Amazon", "Thames", "Volga", "Seine", "Elbe", "Ganges", "Congo"],
    tools=["hammer", "saw", "drill", "wrench", "file", "axe", "pliers", "chisel", "shovel", "rake"],
    languages=["Go", "Python", "Java", "Rust", "Lisp", "Fortran", "C", "Ruby", "Swift", "Haskell"],
    metals=["iron", "gold", "silver", "copper", "tin", "lead", "zinc", "nickel", "cobalt", "titanium"],
    vegetables=["carrot", "potato", "tomato", "onion", "cabbage", "pea", "bean", "spinach", "leek", "pumpkin"],
    birds=["owl", "eagle", "swan", "duck", "crow", "robin", "goose", "hen", "parrot", "sparrow"],
    trees=["oak", "pine", "birch", "maple", "willow", "elm", "ash", "cedar", "beech", "palm"],
    flowers=["rose", "tulip", "lily", "daisy", "violet", "poppy", "orchid", "iris", "lotus", "sunflower"],
    cities=["Paris", "Berlin", "Rome", "Madrid", "Lisbon", "Vienna", "Warsaw", "Oslo", "London", "Tokyo"],
    countries=["France", "Germany", "Italy", "Spain", "Portugal", "Austria", "Poland", "Norway", "Sweden", "Finland"],
    instruments=["piano", "violin", "flute", "drum", "guitar", "trumpet", "harp", "cello", "organ", "horn"],
    sports=["football", "tennis", "rowing", "boxing", "golf", "hockey", "skiing", "swimming", "chess", "rugby"],
)
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August",
          "September", "October", "November", "December"]
SEASONS = ["spring", "summer", "autumn", "winter"]
SMALL = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
         "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
TENS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def number(n):
    """0 to 100 as a word."""
    if n == 100:
        return "one hundred"
    return SMALL[n] if n < 20 else TENS[n // 10] + ("-" + SMALL[n % 10] if n % 10 else "")


NUMBERS = [number(n) for n in range(101)]
NAMES = """Ann Ben Carl Dora Emma Finn Gina Hugo Ida Jack Kate Leo Mia Nils Olga Paul Rosa Sam Tina Uwe Vera Max Alice Bob Anna Tom Peter Mary
John Lisa Eva Tim Laura Mark Nina Oscar Petra Ralf Sara Theo Ursula Victor Wanda Yuri Zoe Adam Bella Clara David Elena Frank George Hannah Ivan
Julia Karl Lena Martin Nora Otto Pia Robert Sofia Thomas Maria Walter James Charlie Diana Eric Fiona Grace Henry Alan Linus Kenji Aiko Wei Priya
Omar Fatima Chen Amara""".split()
WORDS = """apple banana cherry grape lemon mango red green blue yellow white black cat dog horse lion
owl bear river stone bread house table chair window door garden tree flower mountain road bridge ship
train wheel paper pencil book letter song dance winter summer spring autumn rain cloud wind storm fire
water salt sugar butter cheese soup fish bird mouse sheep wolf king queen castle tower sword shield
ring gold silver iron copper glass silk wool cotton hat coat shoe glove button needle thread rope
ladder hammer saw nail lamp candle mirror clock bell drum flute violin piano star moon sun planet
rocket engine pump valve spring lever map compass anchor harbour island beach sand shell wave cave
forest field farm barn mill oven plate cup spoon knife fork bottle basket box key lock coin purse""".split()
MORE = """time year people way day man thing woman life child world school state family student group country problem hand part place case week company
system program question work government number night point home area money story fact month lot right study word business issue side kind head
service friend father power hour game line end member law car city community president team minute idea kid body information back parent face level
office health person art war history party result change morning reason research girl guy moment air teacher force education foot boy age policy
music market sense nation plan college interest death experience effect class control field development role effort rate heart drug show leader light voice
wife police mind price report decision son view relationship town arm difference value building action season society tax director position player
record paper space ground form event official matter center couple site project activity star need court oil situation cost industry figure street image
phone data picture practice piece land product doctor wall patient worker news test movie north love support technology step baby computer type attention
film tree source organization hair look window culture chance brother energy period course summer plant opportunity term letter condition choice
rule daughter south husband floor campaign material population call economy hospital church risk fire future bank cause sport
quick brown lazy small bright quiet early simple happy angry clever strange heavy modern ancient famous little empty broken warm cold sweet sharp
run walk jump read write speak listen think build drive fly swim cook clean open close move stop start turn hold carry bring send keep find lose
the a an and or but if then when where why how who with without from into over under between of to in on at by for is are was were be been has have had
will would can could should may might must not very too also only just still never always often here there now soon today
function variable server client token model string integer loop array pointer memory kernel thread packet socket buffer cache index query table
python docker linux github notebook cell batch stream adapter layer weight tensor matrix vector gradient sample seed temperature prompt template
hello test foo bar baz lorem ipsum hi okay yes no please thanks sorry great fine cool dragon wizard ghost pirate robot alien spaceship treasure
volcano desert jungle ocean lake waterfall valley canyon glacier storm thunder lightning rainbow sunset sunrise shadow dream secret message puzzle
elephant tiger monkey rabbit turtle dolphin whale shark penguin kangaroo giraffe zebra camel donkey squirrel hedgehog butterfly spider ant snail
potato onion garlic pepper rice pasta pizza burger sandwich salad cake cookie honey coffee tea juice wine beer
doctor nurse teacher engineer artist farmer baker pilot sailor soldier lawyer judge writer singer actor dancer painter gardener plumber
red-hot well-known up-to-date don't can't I'm it's we're you're isn't""".split()
HELD = """walnut apricot pelican otter lantern saddle blanket cushion hallway chimney meadow orchard pebble brook stable wagon kettle ribbon velvet amber
marble copperhead falcon badger beetle thistle clover maplewood driftwood sailcloth workbench keyboard monitor printer scanner charger battery satellite
telescope microscope thermometer umbrella suitcase passport ticket platform corridor elevator balcony terrace fountain statue gallery museum theatre
orchestra trombone clarinet saxophone accordion melody rhythm harmony chorus verse""".split()
HELD_NAMES = "Quentin Brigitte Marek Yolanda Dmitri Saoirse Tobias Ingrid Rafael Leopold Winona Casper Odette Bruno Sylvia Magnus Esther Felix Noemi Gustav".split()
DEFINITIONS = {
    "a river": ("water that flows to the sea", "water"),
    "a clock": ("a thing that shows the time", "thing"),
    "a bridge": ("a road over water", "road"),
    "a token": ("a small piece of text", "text"),
    "a forest": ("a place with many trees", "trees"),
    "an island": ("land with water all around", "land"),
    "a kitten": ("a young cat", "cat"),
    "a puppy": ("a young dog", "dog"),
    "ice": ("frozen water", "water"),
    "a cache": ("a place for things that are needed again", "place"),
    "a notebook": ("a book of cells with text and code", "book"),
    "a compiler": ("a program that translates code", "program"),
    "a language model": ("a program that predicts the next token", "program"),
    "a tokenizer": ("a program that cuts text into tokens", "program"),
    "a GPU": ("a chip that does many sums at once", "chip"),
    "a CPU": ("the chip that runs programs", "chip"),
    "a server": ("a program that answers requests", "program"),
    "an adapter": ("a small change to a model", "change"),
    "LoRA": ("a small change to a model, kept apart from it", "change"),
    "JSON": ("a way to write data as text", "text"),
    "HTTP": ("the language of web servers", "language"),
    "Go": ("a programming language", "language"),
    "Python": ("a programming language", "language"),
    "Jupyter": ("a program for notebooks", "program"),
    "a volcano": ("a mountain that spits fire", "mountain"),
    "the moon": ("a ball of rock that goes round the earth", "rock"),
    "the sun": ("the star that gives us light", "star"),
    "a prime number": ("a number that only one and itself divide", "number"),
    "gravity": ("the force that makes things fall", "force"),
    "photosynthesis": ("how plants make sugar from light", "plants"),
    "machine learning": ("learning from examples by a machine", "learning"),
    "the meaning of life": ("42", "42"),
    "Germany": ("a country in Europe", "country"),
    "Paris": ("the capital of France", "city"),
}
FRENCH = dict(hello="bonjour", goodbye="au revoir", cat="chat", dog="chien", water="eau", bread="pain", house="maison", yes="oui", no="non",
              book="livre", sun="soleil", friend="ami", cheese="fromage", milk="lait", red="rouge", love="amour")
GERMAN = dict(hello="hallo", goodbye="auf Wiedersehen", cat="Katze", dog="Hund", water="Wasser", bread="Brot", house="Haus", yes="ja", no="nein",
              book="Buch", sun="Sonne", friend="Freund", cheese="Käse", milk="Milch", red="rot", love="Liebe")
SPANISH = dict(hello="hola", goodbye="adiós", cat="gato", dog="perro", water="agua", bread="pan", house="casa", yes="sí", no="no",
               book="libro", sun="sol", friend="amigo", cheese="queso", milk="leche", red="rojo", love="amor")
TRANSLATIONS = dict(French=FRENCH, German=GERMAN, Spanish=SPANISH)
FOREIGN = """Wie heißt die Hauptstadt von Frankreich?|Wie geht es dir?|Erzähl mir eine Geschichte.|Was ist das?|Ich heiße Karl.|Kannst du mir helfen?|Zähle bis zehn.
Guten Tag, wie spät ist es?|Schreibe ein Gedicht über den Herbst.|Quelle est la capitale de la France ?|Comment ça va ?|Raconte-moi une histoire.|Je m'appelle Marie.
Qu'est-ce que c'est ?|Où est la gare ?|Écris un poème.|¿Cuál es la capital de España?|¿Cómo estás?|Cuéntame una historia.|Me llamo Juan.|¿Qué hora es?|Escribe un poema sobre el mar.
Qual è la capitale d'Italia?|Come stai?|Mi chiamo Paolo.|Che ore sono?|Hoe gaat het met je?|Wat is de hoofdstad van Nederland?|Hur mår du?|Vad heter du?
Jak się masz?|Jaka jest stolica Polski?|Как дела?|Привет, как тебя зовут?|Столица Франции?|你好吗?|法国的首都是哪里?|请讲一个故事。|こんにちは、元気ですか。|フランスの首都はどこですか?|Bana bir hikaye anlat.|Merhaba, nasılsın?
Qual é a capital de Portugal?|Tudo bem?|Conte uma história.""".replace("\n", "|").split("|")
HELLOS = "Hallo!|Bonjour!|Hola!|Guten Tag!|Ciao!|Salut!|Hej!|你好|Bonjour|Hallo|Hola|Moin".split("|")
HEROES = ["cat", "dog", "bear", "owl", "mouse", "king", "robot", "fish", "wolf", "horse"]
PLACES = ["forest", "castle", "garden", "harbour", "mill", "cave", "tower", "farm"]
FINDS = ["golden key", "old map", "red ball", "silver ring", "warm coat", "green bottle", "little bell"]
SKIES = ["sunny", "rainy", "cloudy", "windy", "foggy", "snowy", "stormy", "clear", "hot", "cold"]
GOOD = "great wonderful fantastic lovely excellent amazing good beautiful perfect nice delicious brilliant".split()
BAD = "terrible awful horrible bad boring ugly disgusting poor sad broken dreadful useless".split()
SYSTEMS = """You are a helpful assistant.|You are Tiny, a helpful assistant.|Be helpful.|You are a helpful AI assistant.|You are a friendly assistant.|You are an AI assistant.
You are a knowledgeable historian who provides concise responses.|You are a math teacher.|You are a teacher.|Answer the questions of the user.|Be polite and brief.|Be concise.
You are an expert in geography.|Help the user.|You are a chatbot.|You answer questions about the world.|You are a helpful assistant that follows instructions.|Be brief.
You are a careful assistant. Think before you answer.|Answer briefly.|You are a customer service agent.|You are a poet.|You are a programmer.|You are a large language model.
You are a useful assistant. Use tools when they are needed.|You are a translator.|You are a bot in a chat room.|Follow the user's instructions.|You help people with their work.|System message.
You are a helpful, respectful and honest assistant.|Do not be rude.|You are an assistant for tests.|You know everything about tools.|Please be kind.""".replace("\n", "|").split("|")
