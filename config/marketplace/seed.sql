-- Fills the example marketplace. Only public facts are real: states, their numbers of counties and rating areas, ZIP ranges,
-- metal levels, the federal age curve and the poverty guidelines. Names, prices and popularity are invented. Their amounts
-- have the shape of the first year's, because a cache is affected only by the amount of data that each query touches.
--
-- It makes the same rows on every machine and version: no random(), no floating point, no order that depends on a locale.
-- Each `-- step:` line starts a group of statements. The program runs each group, and shows its name as progress.

-- step: reference tables
create function pg_temp.draw(what text) returns integer language sql immutable
  return ('x' || substr(md5(what), 1, 7))::bit(28)::integer % 1000;  -- 0 to 999, evenly

insert into metal_levels (metal_level, sort_order, actuarial_value, description) values
  ('Bronze', 1, 0.60, 'The plan pays about 60 % of costs. Low premiums, high deductibles.'),
  ('Silver', 2, 0.70, 'The plan pays about 70 % of costs, and more with cost-sharing reductions.'),
  ('Gold', 3, 0.80, 'The plan pays about 80 % of costs. High premiums, low deductibles.'),
  ('Platinum', 4, 0.90, 'The plan pays about 90 % of costs. The highest premiums.'),
  ('Catastrophic', 5, null, 'Covers the worst case only. For people under 30, and others with a hardship exemption.');

insert into poverty_guidelines (year, region, first_person, each_additional) values
  (2013, 'contiguous', 11490, 4020),
  (2014, 'contiguous', 11670, 4060),
  (2013, 'alaska', 14350, 5030),
  (2014, 'alaska', 14580, 5080),
  (2013, 'hawaii', 13230, 4620),
  (2014, 'hawaii', 13420, 4670);

insert into age_curve (curve, age, factor)
select 'federal', age, 0.635 from generate_series(0, 20) age
union all
select 'federal', 20 + place::integer, factor
from unnest(array[
  1.000, 1.000, 1.000, 1.000, 1.004, 1.024, 1.048, 1.087, 1.119,
  1.135, 1.159, 1.183, 1.198, 1.214, 1.222, 1.230, 1.238, 1.246, 1.262,
  1.278, 1.302, 1.325, 1.357, 1.397, 1.444, 1.500, 1.563, 1.635, 1.706,
  1.786, 1.865, 1.952, 2.040, 2.135, 2.230, 2.333, 2.437, 2.548, 2.603,
  2.714, 2.810, 2.873, 2.952, 3.000
]) with ordinality as known(factor, place);

-- step: states
-- people: in tenths of a million. least, typical, most: numbers of plans in the county with the fewest, the median and the most.
-- price: the state's prices in thousandths of the country's.
create temporary table seed_state (
  state text collate "C" primary key, fips text, counties integer, areas integer, zip_low integer, zip_high integer,
  people integer, issuers integer, plans integer, least integer, typical integer, most integer, price integer
);
insert into seed_state values
  ('AK', '02',  29,  3, 995, 999,   7,  2,  34, 34, 34,  34, 1480),
  ('AL', '01',  67, 13, 350, 369,  48,  2,  20,  7,  8,  14,  960),
  ('AR', '05',  75,  7, 716, 729,  30,  3,  68, 11, 19,  44, 1090),
  ('AZ', '04',  15,  7, 850, 865,  67, 10, 196, 74, 82, 118,  830),
  ('DE', '10',   3,  1, 197, 199,   9,  3,  22, 22, 22,  22, 1110),
  ('FL', '12',  67, 67, 320, 349, 198, 11, 250, 27, 60, 169, 1010),
  ('GA', '13', 159, 16, 300, 319, 101,  5,  78, 14, 20,  60, 1010),
  ('IA', '19',  99,  7, 500, 528,  31,  4,  85, 22, 30,  46,  930),
  ('ID', '16',  44,  7, 832, 838,  16,  4,  62, 17, 34,  50,  920),
  ('IL', '17', 102, 13, 600, 629, 129,  8, 120, 34, 40,  72,  900),
  ('IN', '18',  92, 17, 460, 479,  66,  5, 116, 16, 20,  56, 1180),
  ('KS', '20', 105,  7, 660, 679,  29,  4,  66, 17, 36,  44,  860),
  ('LA', '22',  64,  8, 700, 714,  46,  5,  76, 24, 33,  58, 1080),
  ('ME', '23',  16,  4,  39,  49,  13,  2,  30, 19, 20,  22, 1130),
  ('MI', '26',  83, 16, 480, 499,  99, 11,  78,  6, 34,  62,  900),
  ('MO', '29', 115, 10, 630, 658,  60,  4,  50,  6, 18,  28, 1010),
  ('MS', '28',  82,  6, 386, 397,  30,  2,  36,  6, 13,  25, 1300),
  ('MT', '30',  56,  4, 590, 599,  10,  3,  30, 28, 29,  30,  950),
  ('NC', '37', 100, 16, 270, 289,  98,  2,  62, 14, 19,  32, 1060),
  ('ND', '38',  53,  4, 580, 588,   7,  3,  34, 20, 32,  34, 1030),
  ('NE', '31',  93,  4, 680, 693,  19,  4,  58, 20, 28,  50,  980),
  ('NH', '33',  10,  1,  30,  38,  13,  1,  12, 12, 12,  12, 1070),
  ('NJ', '34',  21,  1,  70,  89,  89,  4,  38, 29, 36,  38, 1180),
  ('NM', '35',  33,  5, 870, 884,  21,  4,  46, 37, 38,  45,  850),
  ('OH', '39',  88, 17, 430, 458, 116, 12, 206, 27, 35, 112,  980),
  ('OK', '40',  77,  5, 730, 749,  39,  6,  74, 17, 29,  64,  830),
  ('PA', '42',  67,  9, 150, 196, 128, 14, 158, 27, 43,  72,  850),
  ('SC', '45',  46, 46, 290, 299,  48,  4,  52, 26, 30,  34, 1000),
  ('SD', '46',  66,  4, 570, 577,   8,  3,  36, 33, 35,  36, 1040),
  ('TN', '47',  95,  8, 370, 385,  65,  4,  86, 30, 46,  76,  760),
  ('TX', '48', 254, 26, 750, 799, 266, 12, 132, 18, 23,  72,  930),
  ('UT', '49',  29,  6, 840, 847,  29,  6,  94, 40, 58,  90,  860),
  ('VA', '51', 134, 12, 220, 246,  83,  8, 108, 14, 35,  60, 1000),
  ('WI', '55',  72, 16, 530, 549,  58, 13, 245,  2, 38, 142, 1090),
  ('WV', '54',  55, 11, 247, 268,  19,  1,  14, 14, 14,  14, 1060),
  ('WY', '56',  23,  3, 820, 831,   6,  2,  18, 18, 18,  18, 1420);

-- step: counties
-- place: the county's popularity within its state; rank: within the country. Popularity and population fall with rank
-- along straight lines between the corners of `bend`, so that 1 % of the counties hold 30.6 % of the selections.
create temporary table seed_county as
select s.state, k, s.fips || lpad((2 * k - 1)::text, 3, '0') as county_fips,
  1 + (k - 1) * s.areas / s.counties as rating_area, s.people, s.counties, row_number() over (
    partition by s.state order by (s.state, k) <> ('VA', 30), md5('county' || s.state || k) collate "C"
  )::integer as place
from seed_state s, generate_series(1, s.counties) k;

alter table seed_county add primary key (county_fips);
alter table seed_county add column rank integer;
update seed_county c set rank = ranked.rank
from (
  select county_fips, row_number() over (order by people * 1000000 / (place + 2) desc, county_fips) as rank
  from seed_county
) ranked
where ranked.county_fips = c.county_fips;

insert into counties (county_fips, county_name, state, rating_area, population, plan_selections)
with bend(rank, population, selections) as (
  values
    (1, 5200000, 213000), (2, 3900000, 151000), (3, 3000000, 129000), (6, 2000000, 77000), (11, 1400000, 50000),
    (26, 960000, 26000), (51, 620000, 16000), (101, 400000, 9400), (259, 171000, 3450), (701, 54000, 960),
    (1301, 24000, 360), (1801, 13000, 140), (2301, 5300, 12), (2589, 90, 0)
), lines as (
  select *, lead(rank) over w as next_rank, lead(population) over w as next_population,
    lead(selections) over w as next_selections
  from bend
  window w as (order by rank)
), words as (
  select
    array['Ash', 'Barrow', 'Birch', 'Black', 'Bright', 'Cedar', 'Clay', 'Cold', 'Copper', 'Crane', 'Deer', 'Eagle', 'East',
      'Elm', 'Fair', 'Fern', 'Fox', 'Glen', 'Gran', 'Green', 'Hart', 'Hazel', 'High', 'Iron', 'Lake', 'Lang', 'Lime', 'Maple',
      'Marsh', 'Mill', 'North', 'Oak', 'Pine', 'Red', 'Rock', 'Salt', 'Spring', 'Stan', 'Thorn', 'West', 'Win'] as starts,
    array['bury', 'by', 'combe', 'croft', 'dale', 'don', 'field', 'ford', 'gate', 'ham', 'haven', 'hurst', 'land', 'ley',
      'mere', 'mont', 'more', 'port', 'shaw', 'stead', 'ton', 'ville', 'wick', 'worth'] as ends
)
select c.county_fips,
  case when c.county_fips = '51059' then 'Fairfax' else starts[1 + name / 24] || ends[1 + name % 24] end
    || case
      when c.state = 'LA' then ' Parish'
      when c.state = 'AK' then case when c.k % 3 = 0 then ' Census Area' else ' Borough' end
      when c.state = 'VA' and c.k > 95 then ' city'
      else ' County'
    end,
  c.state, c.rating_area,
  l.population - (l.population - coalesce(l.next_population, 0))
    * (c.rank - l.rank) / (coalesce(l.next_rank, l.rank + 1) - l.rank) + (c.k * 37 + c.rank) % 97,
  l.selections - (l.selections - coalesce(l.next_selections, 0))
    * (c.rank - l.rank) / (coalesce(l.next_rank, l.rank + 1) - l.rank)
from seed_county c
cross join words
cross join lateral (select (c.k * 577 + c.people * 131) % 984 as name) named
join lines l on c.rank >= l.rank and (c.rank < l.next_rank or l.next_rank is null);

-- step: ZIP codes
-- Each county has a run of consecutive ZIPs, longer if it is popular. ZIPs in several counties extend into the next runs.
alter table zip_county drop constraint zip_county_county_fips_fkey;
with quotas as (
  select state, zip_low, span, (38804 * span_upto / spans - 38804 * (span_upto - span) / spans)::integer as quota
  from (
    select state, zip_low, zip_high - zip_low + 1 as span, sum(zip_high - zip_low + 1) over (order by state) as span_upto,
      sum(zip_high - zip_low + 1) over () as spans
    from seed_state
  ) spanned
), sized as (
  select state, county_fips, counties, 3 + 90 / (place + 2) + people / (place + 5) as size,
    (k + 29 * counties - 30) % counties as turn  -- 51059 comes first, so it has 22030
  from seed_county
), runs as (
  select z.*, q.zip_low, q.span, q.quota,
    (q.quota * (sum(size) over upto - size) / sum(size) over whole)::integer as run_start,
    (q.quota * sum(size) over upto / sum(size) over whole)::integer as run_end
  from sized z
  join quotas q on q.state = z.state
  window whole as (partition by z.state), upto as (partition by z.state order by turn)
), homes as (
  select zip, state, counties, turn,
    row_number() over (order by counties < 6, md5('zip' || zip) collate "C") as place
  from runs
  cross join lateral generate_series(run_start, run_end - 1) i
  cross join lateral (select lpad((zip_low * 100 + i * span * 100 / quota)::text, 5, '0') as zip) coded
), spilled as (
  select h.*, case
    when place <= 6 then 6 when place <= 43 then 5 when place <= 451 then 4 when place <= 2657 then 3
    when place <= 9580 then 2 else 1
  end as lies_in
  from homes h
)
insert into zip_county (zip, county_fips)
select z.zip, c.county_fips
from spilled z
cross join lateral generate_series(0, z.lies_in - 1) step
join sized c on c.state = z.state and c.turn = (z.turn + step) % z.counties;
alter table zip_county add foreign key (county_fips) references counties;

-- step: issuers
-- reach: 0 sells in the whole state, 999 in one corner of it.
create temporary table seed_issuer as
select s.state, j, n, (10007 + n * 47717 % 89983)::text as issuer_id, s.price,
  case j when 1 then 0 else least(999, 120 + pg_temp.draw('reach' || s.state || j) * 9 / 10) end as reach,
  case j when 1 then 14 else 3 + pg_temp.draw('size' || s.state || j) % 9 end as size,
  840 + pg_temp.draw('issuer' || n) * 36 / 100 as cost,
  (array['Cedarline', 'Harborstone', 'Trillwood', 'Copperleaf', 'Northfold', 'Lumière', 'Fenn & Marlow', 'Bluewater Mutual',
    'Piñon', 'Meridel', 'Kestrel', 'Pioneer''s Choice', 'Oakhaven', 'Brookstone', 'Wellspan Ridge', 'Tamarack', 'Verdana',
    'Greenway', 'Alder & Finch', 'Summitcare', 'Prairie Star', 'Lakeshore', 'Norgard', 'Evermont', 'Quillan', 'Farmers'' Union',
    'Redwater', 'Junipero', 'Beacon Hollow', 'Stillmeadow', 'Vantor'])[1 + (n * 7 + j) % 31] as brand
from (select s.*, row_number() over (order by s.state, j) as n, j from seed_state s, generate_series(1, s.issuers) j) s;

insert into issuers (issuer_id, issuer_name, state, phone_local, phone_toll_free, phone_tty)
select issuer_id,
  brand || (array[' Health Plan of ', ' Insurance Company of ', ' Health Cooperative of ', ' Community Care of ',
    ' HMO of '])[1 + n % 5] || state || (array['', ', Inc.', ''])[1 + n % 3],
  state,
  case when n % 4 > 0 then '1-' || 200 + n * 4 || '-555-01' || lpad((n % 100)::text, 2, '0') end,
  '1-800-555-01' || lpad((n * 7 % 100)::text, 2, '0'),
  case n % 3 when 0 then '711' when 1 then '1-800-555-01' || lpad((n * 13 % 100)::text, 2, '0') end
from seed_issuer;

-- step: plans
-- Plans of each metal are spread evenly over the issuers, so that each issuer has about the same mix as the country.
create temporary table seed_plan as
with dealt as (
  select metal, row_number() over (order by (2 * i - 1) * 1000000 / quota, metal) as n
  from (values
    ('Bronze' collate "C", 815), ('Silver', 931), ('Gold', 736), ('Platinum', 156), ('Catastrophic', 252)
  ) metals(metal, quota)
  cross join lateral generate_series(1, quota) i
), sized as (
  select i.*, s.plans - 2 * s.issuers as spare, sum(i.size) over (partition by i.state order by i.j) as size_upto,
    sum(i.size) over (partition by i.state) as size_all
  from seed_issuer i
  join seed_state s on s.state = i.state
), counted as (
  select z.*, 2 + spare * size_upto / size_all - spare * (size_upto - size) / size_all as plans from sized z
)
select c.state, c.issuer_id, c.brand, c.j, c.reach, c.cost, c.price, m, d.metal, d.n, c.state || d.n as code,
  c.issuer_id || c.state || lpad(((m + 5) / 6 * 10)::text, 3, '0') || lpad((1 + (m - 1) % 6)::text, 4, '0') as plan_id,
  -- the state's largest issuer sells its first silver and its first bronze plan in every county
  c.j = 1 and d.metal in ('Silver', 'Bronze') and 1 = row_number() over (partition by c.state, c.j, d.metal order by m)
    as everywhere,
  row_number() over (partition by c.state order by md5('home' || d.n) collate "C") as turn
from (
  select c.*, m, row_number() over (order by c.state, c.j, m) as deal
  from counted c
  cross join lateral generate_series(1, c.plans) m
) c
join dealt d on d.n = c.deal;

insert into plans (plan_id, plan_year, state, issuer_id, plan_name, metal_level, plan_type, child_only_offering,
  network_url, brochure_url, sbc_url, formulary_url)
select p.plan_id, 2014, p.state, p.issuer_id,
  case pg_temp.draw('name' || p.code) % 12
    when 0 then p.brand || ' ' || p.metal || ' ' || dollars
    when 1 then p.brand || ' ' || word || ' ' || p.metal
    when 2 then p.brand || ' ' || word || ' ' || p.metal || ' ' || dollars || ' ' || plan_type
    when 3 then p.brand || ' ' || p.metal || ' Copay ' || word
    when 4 then p.brand || case when p.n % 5 = 0 then '® ' else ' ' end || p.metal || ', a Statewide Plan'
    when 5 then p.brand || ' "' || word || '" ' || p.metal || ' & Dental'
    when 6 then p.metal || ' ' || word || ' ' || plan_type || ' from ' || p.brand
    when 7 then p.brand || ' ' || word || ' HSA ' || dollars || ', ' || p.metal
    when 8 then p.brand || ' ' || word || ' ' || dollars
    when 9 then p.brand || ' ' || word || ' ' || dollars || '/' || percent || '%'
    when 10 then 'My' || word || ' ' || plan_type || ' ' || dollars || case when p.n % 91 = 0 then E'\n' else '' end
    else p.brand || ' Member''s ' || word || case when p.n % 83 = 0 then E' \n' else ' ' end || p.metal || ' ' || percent
  end || case when child = 'Allows Child-Only' then ' Child Only' else '' end,
  p.metal, plan_type, child,
  site || 'providers', site || 'brochure-' || lower(p.metal) || '.pdf', site || 'sbc/' || p.plan_id || '.pdf',
  case when p.n % 9 > 0 then site || 'drugs' end
from seed_plan p
cross join lateral (
  select
    (array['Essential', 'Select', 'Preferred', 'Everyday', 'Connect', 'Value', 'Complete', 'Balance', 'Access', 'Partner',
      'Guided', 'Classic', 'Simple', 'Advantage', 'Core', 'Premier', 'Total'])[1 + pg_temp.draw('word' || p.code) % 17] as word,
    case p.metal
      when 'Catastrophic' then 6350 when 'Bronze' then 4500 + p.n % 5 * 450 when 'Silver' then 1500 + p.n % 6 * 400
      when 'Gold' then 500 + p.n % 5 * 250 else p.n % 3 * 250
    end as dollars,
    60 + p.n % 5 * 10 as percent,
    (array['HMO', 'HMO', 'PPO', 'HMO', 'PPO', 'POS', 'HMO', 'PPO', 'HMO', 'PPO', 'POS', 'HMO', 'PPO', 'EPO', 'HMO', 'PPO', 'POS',
      'HMO', 'HMO', 'PPO'])[1 + pg_temp.draw('type' || p.issuer_id || m / 7) % 20] as plan_type,
    case pg_temp.draw('child' || p.code) / 8
      when 0 then 'Allows Child-Only' when 1 then 'Allows Adult-Only' when 2 then 'Allows Adult-Only'
      else 'Allows Adult and Child-Only'
    end as child,
    'https://www.example.org/' || p.issuer_id || '/' as site
) made;

-- step: plans by county
-- shelf: the number of plans sold in the county, between the state's least and most. It rises with popularity, and is similar
-- throughout a rating area. The plans with the smallest `far` are sold; `far` depends on issuer, metal and chance. Each plan is
-- also sold in one of the state's best supplied counties, so that no plan is sold nowhere.
create temporary table seed_shelf as
with drawn as (
  select c.state, c.county_fips, c.rating_area, c.k, s.plans, s.least, s.typical, s.most, c.counties,
    row_number() over (
      partition by c.state order by
        (2 * c.place + 5 * pg_temp.draw('stock' || c.state || c.rating_area) * c.counties / 1000) desc, c.k
    ) - 1 as rise
  from seed_county c
  join seed_state s on s.state = c.state
), shaped as (
  select d.*, least + case
    when 2 * rise < counties - 1 then (typical - least) * 2 * rise / (counties - 1)
    else typical - least + (most - typical) * above * above / (counties - 1) / (counties - 1)
  end as shelf
  from drawn d
  cross join lateral (select 2 * rise - counties + 1 as above) half
), counted as (
  select h.*, 81013 - sum(shelf) over () as missing,
    row_number() over (
      order by shelf < 20 or shelf >= plans - 2 or shelf = most, md5('room' || county_fips) collate "C"
    ) as place
  from shaped h
)
select state, county_fips, rating_area, k, counties, row_number() over (partition by state order by rise desc) as turn,
  (shelf + case when place > abs(missing) then 0 when missing < 0 then -1 else 1 end)::integer as shelf
from counted;

create temporary table seed_sold as
select plan_id, county_fips, state, rating_area
from (
  select p.plan_id, h.county_fips, h.state, h.rating_area, h.shelf,
    row_number() over (
      partition by h.county_fips
      order by not p.everywhere, (p.turn - 1) % ((h.counties + 4) / 5) + 1 <> h.turn,
        a.far + (p.n * 7919 + h.k * 10473) % 8, p.n
    ) as place
  from seed_plan p
  join (select distinct state, rating_area from seed_shelf) area on area.state = p.state
  cross join lateral (
    select p.reach * 5 / 10
      + pg_temp.draw('area' || p.issuer_id || area.rating_area) * 5 / 10
      + pg_temp.draw('plan' || p.code) * 2 / 10
      + case p.metal
        when 'Silver' then 5 when 'Bronze' then -8 when 'Platinum' then 48 when 'Catastrophic' then -4 else -2
      end as far
    offset 0  -- computed once for each area, not for each of its counties
  ) a
  join seed_shelf h on h.state = p.state and h.rating_area = area.rating_area
) ranked
where place <= shelf;

alter table plan_county drop constraint plan_county_plan_id_plan_year_fkey;
alter table plan_county drop constraint plan_county_county_fips_fkey;
insert into plan_county (plan_id, plan_year, county_fips)
select plan_id, 2014, county_fips from seed_sold order by county_fips, plan_id;
alter table plan_county add foreign key (plan_id, plan_year) references plans;
alter table plan_county add foreign key (county_fips) references counties;

-- step: plan benefits
-- Amounts start from the standard plan of the metal level. Each plan moves them up or down, and words them differently.
alter table plan_benefits drop constraint plan_benefits_plan_id_plan_year_fkey;
insert into plan_benefits (plan_id, plan_year, variant, benefit, cost_text)
with designs(metal, variant, deductible, maximum, share, visit, specialist, emergency, generic, brand, rare) as (
  values
    ('Catastrophic', 'standard', 6350, 6350, 0, 0, 0, 0, 0, 0, 0),
    ('Bronze', 'standard', 5000, 6350, 40, 45, 75, 500, 20, 60, 120),
    ('Silver', 'standard', 2500, 6350, 30, 30, 60, 350, 15, 50, 90),
    ('Silver', 'csr73', 2000, 5200, 25, 30, 50, 300, 15, 45, 80),
    ('Silver', 'csr87', 600, 2250, 15, 15, 30, 200, 10, 30, 60),
    ('Silver', 'csr94', 100, 1000, 10, 5, 15, 100, 5, 15, 35),
    ('Gold', 'standard', 1000, 4500, 20, 20, 40, 250, 10, 35, 70),
    ('Platinum', 'standard', 0, 2000, 10, 10, 20, 150, 5, 25, 50)
), priced as (
  select p.plan_id, d.variant, d.share, d.visit, d.specialist, d.emergency, d.generic, d.brand, d.rare,
    (d.deductible * (7 + draw % 7) / 10 / 50 * 50) as deductible,
    least(6350, d.maximum * (8 + draw / 7 % 5) / 10 / 50 * 50) as maximum,
    p.metal = 'Catastrophic' or draw / 100 = 0 as all_free,  -- after the deductible the plan pays for everything
    draw / 100 in (1, 2, 3) as shared,                       -- the member pays a share, not a fixed amount
    draw % 2 = 0 as drugs_apart
  from (select seed_plan.*, pg_temp.draw('design' || code) as draw from seed_plan) p
  join designs d on d.metal = p.metal
)
select plan_id, 2014, variant, benefit, cost
from priced
cross join lateral (
  select '$' || to_char(deductible, 'FM999,990') as one_deductible,
    '$' || to_char(2 * deductible, 'FM999,990') as family_deductible,
    '$' || to_char(maximum, 'FM999,990') as one_maximum,
    '$' || to_char(2 * maximum, 'FM999,990') as family_maximum,
    share || '% Coinsurance after deductible' as coinsurance,
    'No Charge after Deductible' as free
) say
cross join lateral (
  values
    ('medical_deductible_individual', one_deductible),
    ('medical_deductible_family', family_deductible),
    ('drug_deductible_individual',
      case when not drugs_apart then 'Included in Medical' when deductible > 1000 then '$250' else '$0' end),
    ('drug_deductible_family',
      case when not drugs_apart then 'Included in Medical' when deductible > 1000 then '$500' else 'See Plan Brochure' end),
    ('medical_maximum_out_of_pocket_individual', one_maximum),
    ('medical_maximum_out_of_pocket_family', family_maximum),
    ('drug_maximum_out_of_pocket_individual', 'Included in Medical'),
    ('drug_maximum_out_of_pocket_family', 'Included in Medical'),
    ('primary_care_physician', case when all_free then free when shared then coinsurance else '$' || visit end),
    ('specialist', case when all_free then free when shared then coinsurance else '$' || specialist end),
    ('emergency_room',
      case when all_free then free when shared then coinsurance else '$' || emergency || ' Copay after deductible' end),
    ('inpatient_facility', case when all_free then free else coinsurance end),
    ('inpatient_physician', case when all_free then free when drugs_apart then 'No Charge' else coinsurance end),
    ('generic_drugs', case when all_free then free else '$' || generic end),
    ('preferred_brand_drugs', case when all_free then free when shared then coinsurance else '$' || brand end),
    ('non_preferred_brand_drugs',
      case
        when all_free then free when shared then '50% Coinsurance after deductible'
        else '$' || rare || ' Copay after deductible'
      end),
    ('specialty_drugs', case when all_free then free when drugs_apart then share || '%' else coinsurance end)
) costs(benefit, cost)
order by plan_id, variant, benefit;
alter table plan_benefits add foreign key (plan_id, plan_year) references plans;

-- step: rates
-- A plan has a price for every age in each rating area where it is sold in some county. Prices are cents until the last step.
alter table rates drop constraint rates_pkey;
insert into rates (plan_id, plan_year, age, rating_area, premium)
with priced as materialized (
  select sold.plan_id, sold.rating_area,
    case p.metal
      when 'Catastrophic' then 15600 when 'Bronze' then 19900 when 'Silver' then 24100 when 'Gold' then 28100 else 31500
    end::bigint
      * p.price / 1000 * p.cost / 1000
      * (860 + pg_temp.draw('price' || p.state || sold.rating_area) * 28 / 100) / 1000
      * (930 + pg_temp.draw('plan price' || p.code) * 14 / 100) / 1000 as cents
  from (select distinct plan_id, rating_area from seed_sold) sold
  join seed_plan p on p.plan_id = sold.plan_id
), listed as materialized (
  select plan_id, array_agg(rating_area order by rating_area) as areas, array_agg(cents order by rating_area) as prices
  from priced
  group by plan_id
  order by plan_id collate "C"
)
select plan_id, 2014, age, rating_area, round(cents * factor * 0.01, 2)
from listed
cross join lateral (
  select age, factor, rating_area, cents
  from age_curve
  cross join unnest(areas, prices) area(rating_area, cents)
  where curve = 'federal'
  order by age, rating_area
) aged;

-- step: index of the rates
alter table rates add primary key (plan_id, plan_year, age, rating_area);

-- step: statistics
drop table seed_state, seed_county, seed_issuer, seed_plan, seed_shelf, seed_sold;
drop function pg_temp.draw(text);
analyze;
