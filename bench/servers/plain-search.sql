-- plan-search.sql as first written, the "slow statement": a subquery computes the price of each plan. It reads the prices of the plan at
-- all ages, and counts for each the members of the household of that age. The rows and their order are those of plan-search.sql.
with household as (
  select least(age, 64) as age
  from (
    select member.age, row_number() over (partition by member.age < 21 order by member.age desc) as place
    from unnest(:ages::int[]) as member(age)
  ) listed
  where age >= 21 or place <= 3
), priced as (
  select p.plan_id, p.plan_name, p.metal_level, p.plan_type, p.child_only_offering, p.issuer_id, i.issuer_name, m.sort_order,
    (
      select case when sum(asked.members) = (select count(*) from household) then sum(r.premium * asked.members) end
      from rates r
      cross join lateral (select count(*) as members from household h where h.age = r.age) asked
      where r.plan_id = p.plan_id and r.plan_year = p.plan_year and r.rating_area = c.rating_area
    ) as premium
  from counties c
  join plan_county s on s.county_fips = c.county_fips and s.plan_year = :year::int
  join plans p on p.plan_id = s.plan_id and p.plan_year = s.plan_year
  join metal_levels m on m.metal_level = p.metal_level
  join issuers i on i.issuer_id = p.issuer_id
  where c.county_fips = :county::text
    and (:metal::text is null or p.metal_level = :metal::text)
)
select plan_id, plan_name, metal_level, plan_type, child_only_offering, issuer_id, issuer_name, premium, count(*) over () as total
from priced
where premium is not null
order by
  case when :sort::text = 'name' then plan_name end collate "C",
  case when :sort::text = 'metal' then sort_order end,
  premium,
  plan_id
limit :limit::int offset :offset::int
