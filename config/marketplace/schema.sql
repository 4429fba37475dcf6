-- The example marketplace: plans, service areas and prices, in the shape of the first year of the federal health
-- insurance marketplace (plan year 2014). For PostgreSQL 14 to 18.
--
-- Codes are text collate "C": they compare as bytes, so that an order by code is the same in every database.
-- The published files of the first year do not name their year, hence `default 2014`.

create table metal_levels (
  metal_level      text primary key,
  sort_order       integer not null unique,
  actuarial_value  numeric(3, 2) check (actuarial_value between 0 and 1),
  description      text not null
);
comment on column metal_levels.actuarial_value is
  'Share of the average member''s costs that the plan pays; null where the law sets none (Catastrophic).';

create table poverty_guidelines (
  year             integer not null,
  region           text collate "C" not null check (region in ('contiguous', 'alaska', 'hawaii')),
  first_person     integer not null check (first_person > 0),
  each_additional  integer not null check (each_additional > 0),
  primary key (year, region)
);
comment on table poverty_guidelines is
  'Federal poverty guidelines, dollars a year. Coverage of one year is judged by the guidelines of the year before.';

create table age_curve (
  curve   text collate "C" not null,
  age     integer not null check (age between 0 and 64),
  factor  numeric(6, 3) not null check (factor > 0),
  primary key (curve, age)
);
comment on table age_curve is
  'premium(age) = premium(21) * factor. The last row, 64, is also the price of everybody older.';
comment on column age_curve.curve is
  '''federal'', or the postal code of a state with a curve of its own.';

create table counties (
  county_fips      text collate "C" primary key check (county_fips ~ '^[0-9]{5}$'),
  county_name      text not null,
  state            text collate "C" check (state ~ '^[A-Z]{2}$'),
  rating_area      integer check (rating_area > 0),
  population       integer check (population >= 0),
  plan_selections  integer check (plan_selections >= 0)
);
create index counties_by_state on counties (state, county_fips);
comment on column counties.rating_area is
  'Prices are set by rating area, numbered within the state. Null where the federal marketplace sells nothing.';
comment on column counties.plan_selections is
  'People who chose a plan here. No answer shows it: benchmarks draw counties by it, to have the shape of real load.';

create table zip_county (
  zip          text collate "C" not null check (zip ~ '^[0-9]{5}$'),
  county_fips  text collate "C" not null references counties,
  primary key (zip, county_fips)
);
comment on table zip_county is
  'One ZIP in four lies in several counties, at most six, and the shopper must say which.';

create table issuers (
  issuer_id        text collate "C" primary key check (issuer_id ~ '^[0-9]{5}$'),
  issuer_name      text not null,
  state            text collate "C" not null check (state ~ '^[A-Z]{2}$'),
  phone_local      text,
  phone_toll_free  text,
  phone_tty        text
);
create index issuers_by_state on issuers (state);
comment on column issuers.issuer_id is
  'HIOS issuer id. A company that sells in two states has two.';

create table plans (
  plan_id              text collate "C" not null check (plan_id ~ '^[0-9]{5}[A-Za-z]{2}[0-9]{7}$'),
  plan_year            integer not null default 2014,
  state                text collate "C" not null,
  issuer_id            text collate "C" not null references issuers,
  plan_name            text not null,
  metal_level          text not null references metal_levels,
  plan_type            text not null check (plan_type in ('HMO', 'PPO', 'POS', 'EPO')),
  child_only_offering  text not null
    check (child_only_offering in ('Allows Adult and Child-Only', 'Allows Adult-Only', 'Allows Child-Only')),
  network_url          text,
  brochure_url         text,
  sbc_url              text,
  formulary_url        text,
  primary key (plan_id, plan_year)
);
create index plans_by_state on plans (state, plan_year);
create index plans_by_issuer on plans (issuer_id);
comment on column plans.plan_id is
  'HIOS standard component id: issuer, state, and seven digits of the issuer''s own. It returns year after year. '
  'Some issuers type the state in small letters.';
comment on column plans.plan_name is
  'As the issuer typed it: commas, quotes, letters outside ASCII, even line breaks.';
comment on column plans.sbc_url is
  'Summary of benefits and coverage, the document every plan has to publish.';

create table plan_county (
  plan_id      text collate "C" not null,
  plan_year    integer not null default 2014,
  county_fips  text collate "C" not null references counties,
  primary key (county_fips, plan_year, plan_id),
  foreign key (plan_id, plan_year) references plans
);
create index plan_county_by_plan on plan_county (plan_id, plan_year);
comment on table plan_county is
  'Service areas: the plan is sold in the county. Being priced in a rating area does not mean sold in all its counties.';

create table plan_benefits (
  plan_id    text collate "C" not null,
  plan_year  integer not null default 2014,
  variant    text collate "C" not null check (variant in ('standard', 'csr73', 'csr87', 'csr94')),
  benefit    text collate "C" not null,
  cost_text  text not null,
  primary key (plan_id, plan_year, variant, benefit),
  foreign key (plan_id, plan_year) references plans
);
comment on column plan_benefits.variant is
  'csr73, csr87, csr94: the cost-sharing reductions of silver plans, named by the actuarial value they lift the plan to.';
comment on column plan_benefits.cost_text is
  'What the member pays, in the issuer''s words; not a number.';

create table rates (
  plan_id      text collate "C" not null,
  plan_year    integer not null default 2014,
  age          integer not null,
  rating_area  integer not null,
  premium      numeric(10, 2) not null,
  primary key (plan_id, plan_year, age, rating_area)  -- a plan's prices at one age, for all areas, lie together
);
comment on table rates is
  'Dollars a month for one person of that age, 0 to 64, without tobacco. No foreign key and no checks: price lists are '
  'replaced in bulk, a million rows at a time.';

create table applications (
  application_id    bigint generated always as identity primary key,
  submitted_at      timestamptz not null,
  county_fips       text collate "C" not null references counties,
  plan_year         integer not null,
  household_ages    integer[] not null,
  household_income  numeric(12, 2) not null
);
comment on table applications is
  'A stand-in for personal data, which the cache must never touch (postgres.privateTables). Never filled.';

-- onramp follows every table except the private one.
create publication onramp for table
  metal_levels, poverty_guidelines, age_curve, counties, zip_county, issuers, plans, plan_county, plan_benefits, rates;
